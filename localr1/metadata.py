"""Owns a model known from a log or a model page only: its key-values, without the file.

A plan needs a header. This makes one from JSON: `{"gguf_kv": {...}, "tensor_types": {...} | null,
"file_bytes": n | null, "request": {...}, "devices": [...]}`, where values may be as a log prints
them ("true", 15.0, "arr[str,151936]", "[true, false, ..."). Tensors are those the family must have;
their types follow from the counts of `tensor_types`, else their bytes from the size of the file.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from localr1.assumed_tensors import Dims, Sizes, layer_tensors, model_tensors
from localr1.assumed_types import types_by_count
from localr1.errors import ModelFileError
from localr1.printed_values import read_printed
from quant.gguf.contents import TensorInfo, Value
from quant.gguf.header import GgufHeader
from quant.gguf.types import TensorType
from quant.recipe import ModelFacts

_MAX_BYTES = 4 * 1024**2
_MAX_LAYERS = 512
_PRINTED_ARRAY = re.compile(r"arr\[\w+, ?(\d{1,9})\]")
_TYPICAL_VOCABULARY = 151_936
_ALIGNMENT = 32


@dataclass(frozen=True, slots=True)
class Metadata:
    """What the JSON said."""

    header: GgufHeader
    knows_weights: bool
    """False: nothing says how big the tensors are, so that they count as nothing."""
    request: Mapping[str, object]
    devices: tuple[str, ...]
    notices: tuple[str, ...]


def read_metadata(text: str, name: str) -> Metadata:
    """Read the JSON; `name` is what errors call it.

    Raises: ModelFileError if it is no such JSON, or if sizes are missing or make no sense.
    """
    return _Reader(text, name).metadata()


class _Reader:
    def __init__(self, text: str, name: str) -> None:
        self._name = name
        self._notices: list[str] = []
        self._knows_types = False
        document = self._parsed(text)
        self._document = document
        kv = document.get("gguf_kv")
        if not isinstance(kv, dict) or not kv:
            raise self._refused("gguf_kv is no object with key-values")
        self._kv: dict[str, Value] = {
            str(key): found
            for key, value in kv.items()
            if (found := read_printed(value)) is not None
        }
        self._arch = self._architecture()
        self._kv.setdefault("general.architecture", self._arch)
        self._kv.setdefault("general.name", name)

    def metadata(self) -> Metadata:
        dims = self._dims()
        tensors = _laid_out(self._tensors(dims))
        request, devices = self._document.get("request"), self._document.get("devices")
        if not isinstance(request, dict | None) or not isinstance(devices, list | None):
            raise self._refused("request is an object, devices is a list of names")
        last = tensors[-1]
        header = GgufHeader(
            path=Path(self._name),
            version=3,
            kv=MappingProxyType(self._kv),
            tensors=tensors,
            data_offset=0,
            file_bytes=self._file_bytes() or last.offset + last.n_bytes,
            alignment=_ALIGNMENT,
            modified_ns=0,
        )
        return Metadata(
            header=header,
            knows_weights=self._knows_types or self._file_bytes() is not None,
            request=MappingProxyType(request or {}),
            devices=tuple(map(str, devices or ())),
            notices=tuple(self._notices),
        )

    def _parsed(self, text: str) -> dict[str, object]:
        try:
            document = json.loads(text) if len(text) <= _MAX_BYTES else None
        except (ValueError, RecursionError) as exc:
            raise self._refused(f"no JSON ({exc})") from exc
        if not isinstance(document, dict):
            raise self._refused("no JSON object of at most 4 MiB")
        return document

    def _refused(self, reason: str) -> ModelFileError:
        return ModelFileError(
            f"{self._name}: {reason}",
            hint='it takes {"gguf_kv": {...}, "tensor_types": {...}, "file_bytes": n}',
        )

    def _architecture(self) -> str:
        stated = self._kv.get("general.architecture")
        if isinstance(stated, str) and stated:
            return stated
        for key in self._kv:
            if key.endswith(".block_count"):
                return key.removesuffix(".block_count")
        raise self._refused("neither general.architecture nor a block_count is there")

    def _count(self, name: str, default: int | None = None) -> int:
        value = self._kv.get(f"{self._arch}.{name}", default)
        if isinstance(value, tuple):  # per layer: the largest
            value = max((item for item in value if isinstance(item, int)), default=None)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
            raise self._refused(f"{self._arch}.{name} is {str(value)[:40]}, no whole number")
        return value

    def _sizes(self) -> Sizes:
        n_embd, n_head = self._count("embedding_length"), self._count("attention.head_count")
        dim = n_embd // n_head if n_head else 0
        n_ff = self._count("feed_forward_length", 0)
        n_ff_exp = self._count("expert_feed_forward_length", n_ff)
        unfolded = self._count("attention.value_length_mla", 0)
        return Sizes(
            arch=self._arch,
            n_embd=n_embd,
            n_vocab=self._n_vocab(),
            n_head=n_head,
            n_head_kv=self._count("attention.head_count_kv", n_head),
            dim_k=self._count(f"attention.key_length{'_mla' if unfolded else ''}", dim),
            dim_v=self._count("attention.value_length", dim),
            n_ff=n_ff,
            n_expert=self._count("expert_count", 0),
            n_ff_exp=n_ff_exp,
            n_ff_shared=self._shared_width(n_ff, n_ff_exp),
            n_lora_q=self._count("attention.q_lora_rank", 0),
            n_latent=self._count("attention.kv_lora_rank", 0),
            n_rope=self._count("rope.dimension_count", 64),
            dim_v_unfolded=unfolded,
            has_selection_bias=self._kv.get(f"{self._arch}.expert_gating_func") == 2,
        )

    def _shared_width(self, n_ff: int, n_ff_exp: int) -> int:
        # files that do not say let all tokens share a network of the dense size
        default = n_ff if self._arch == "qwen2moe" else 0
        stated = self._count("expert_shared_feed_forward_length", 0) or default
        return stated or self._count("expert_shared_count", 0) * n_ff_exp

    def _n_vocab(self) -> int:
        tokens = self._kv.get("tokenizer.ggml.tokens")
        match = _PRINTED_ARRAY.match(tokens) if isinstance(tokens, str) else None
        if match:
            n_vocab = int(match[1])
        elif isinstance(tokens, tuple):
            n_vocab = len(tokens)
        else:
            n_vocab = self._count("vocab_size", 0)
        self._kv.pop("tokenizer.ggml.tokens", None)
        if not n_vocab:
            n_vocab = _TYPICAL_VOCABULARY
            self._notices.append(
                f"{self._arch}.vocab_size is not given; taken to be {n_vocab}: the compute and "
                f"output buffers depend on it"
            )
        self._kv[f"{self._arch}.vocab_size"] = n_vocab
        return n_vocab

    def _dims(self) -> dict[str, Dims]:
        sizes, n_layer = self._sizes(), self._count("block_count")
        if not 1 <= n_layer <= _MAX_LAYERS:
            raise self._refused(f"{self._arch}.block_count is {n_layer}, not from 1 to 512")
        n_dense = self._count("leading_dense_block_count", 0)
        dims = dict(model_tensors(sizes))
        for i in range(n_layer):
            has_experts = sizes.n_expert > 0 and i >= n_dense
            for name, shape in layer_tensors(sizes, has_experts=has_experts).items():
                dims[f"blk.{i}.{name}"] = shape
        if self._is_tied(dims):
            del dims["output.weight"]
        # a layer without heads attends to nothing
        return {name: shape for name, shape in dims.items() if 0 not in shape}

    def _is_tied(self, dims: Mapping[str, Dims]) -> bool:
        """Whether the counts say that there is no output matrix beside the embedding."""
        n_matrices = sum(_is_quantised(name, shape) for name, shape in dims.items())
        return "output.weight" in dims and sum(self._counts().values()) == n_matrices - 1

    def _tensors(self, dims: Mapping[str, Dims]) -> dict[str, tuple[Dims, str, int]]:
        """Dimensions, type and bytes of each tensor."""
        types = self._types(dims)
        if types is not None:
            return {
                name: (shape, types[name].name, types[name].n_bytes(math.prod(shape)))
                for name, shape in dims.items()
            }
        n_numbers = sum(map(math.prod, dims.values()))
        bytes_each = (self._file_bytes() or 0) / n_numbers
        return {
            name: (shape, "mixed", round(math.prod(shape) * bytes_each))
            for name, shape in dims.items()
        }

    def _types(self, dims: Mapping[str, Dims]) -> Mapping[str, TensorType] | None:
        counts = self._counts()
        if not counts:
            return None
        facts = ModelFacts(
            architecture=self._arch,
            n_layer=self._count("block_count"),
            n_head=self._count("attention.head_count"),
            n_head_kv=self._count("attention.head_count_kv", self._count("attention.head_count")),
            n_expert=self._count("expert_count", 0),
        )
        found = types_by_count(dims, counts, facts)
        if found is None and len(counts) == 1:
            kind = TensorType[next(iter(counts))]
            found = {name: _fitting(name, shape, kind) for name, shape in dims.items()}
        self._knows_types = found is not None
        return found

    def _counts(self) -> dict[str, int]:
        """Number of tensors by type, but F32: vectors are always."""
        stated = self._document.get("tensor_types") or {}
        if not isinstance(stated, dict):
            raise self._refused("tensor_types is no object of counts by type")
        counts = {str(name).upper(): n for name, n in stated.items() if isinstance(n, int)}
        unknown = counts.keys() - TensorType.__members__.keys()
        if unknown:
            raise self._refused(f"the tensor type {min(unknown)[:40]} is unknown")
        return {name: n for name, n in counts.items() if name != "F32"}

    def _file_bytes(self) -> int | None:
        value = self._document.get("file_bytes")
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 2**60:
            raise self._refused(f"file_bytes is {str(value)[:40]}, no positive whole number")
        return value


def _is_quantised(name: str, shape: Dims) -> bool:
    return len(shape) > 1 and name.endswith(".weight") and "ffn_gate_inp" not in name


def _fitting(name: str, shape: Dims, kind: TensorType) -> TensorType:
    if not _is_quantised(name, shape):
        return TensorType.F32
    return kind if shape[0] % kind.block_weights == 0 else TensorType.F16


def _laid_out(tensors: Mapping[str, tuple[Dims, str, int]]) -> tuple[TensorInfo, ...]:
    offset, rows = 0, []
    for name, (dims, type_name, n_bytes) in tensors.items():
        rows.append(TensorInfo(name, type_name, dims, offset, n_bytes))
        offset += -(-n_bytes // _ALIGNMENT) * _ALIGNMENT
    return tuple(rows)
