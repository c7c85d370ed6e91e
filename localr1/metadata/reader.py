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

from localr1.errors import ModelFileError
from localr1.metadata.assumed_shape import AssumedShape
from localr1.metadata.assumed_tensors import Dims
from localr1.metadata.assumed_types import laid_out, types_by_count
from localr1.metadata.printed_values import read_printed
from localr1.plan.weights import is_expert_name
from quant.gguf.contents import Value
from quant.gguf.header import GgufHeader
from quant.gguf.types import ALIGNMENT, TensorType

_MAX_BYTES = 4 * 1024**2
_PRINTED_ARRAY = re.compile(r"arr\[\w+, ?(\d{1,9})\]")
_TYPICAL_VOCABULARY = 151_936


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
        self._shape = AssumedShape(self._kv, self._arch, self._refused)

    def metadata(self) -> Metadata:
        self._settle_vocabulary()
        tensors = laid_out(self._tensors(self._dims()))
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
            alignment=ALIGNMENT,
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

    def _settle_vocabulary(self) -> None:
        """Put the number of tokens where the planner looks for it."""
        tokens = self._kv.pop("tokenizer.ggml.tokens", None)
        match = _PRINTED_ARRAY.match(tokens) if isinstance(tokens, str) else None
        if match:
            n_vocab = int(match[1])
        elif isinstance(tokens, tuple):
            n_vocab = len(tokens)
        else:
            n_vocab = self._shape.count("vocab_size", 0)
        if not n_vocab:
            n_vocab = _TYPICAL_VOCABULARY
            self._notices.append(
                f"{self._arch}.vocab_size is not given; taken to be {n_vocab}: the compute and "
                f"output buffers depend on it"
            )
        self._kv[f"{self._arch}.vocab_size"] = n_vocab

    def _dims(self) -> dict[str, Dims]:
        dims = self._shape.dims()
        if self._is_tied(dims):
            del dims["output.weight"]
        return dims

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
        return self._of_one_mix(dims)

    def _of_one_mix(self, dims: Mapping[str, Dims]) -> dict[str, tuple[Dims, str, int]]:
        """The file's bytes, spread over what is quantised; the rest is in single precision."""
        numbers = {name: math.prod(shape) for name, shape in dims.items()}
        quantised = {name for name, shape in dims.items() if _is_quantised(name, shape)}
        plain = dims.keys() - quantised
        plain_bytes = sum(TensorType.F32.n_bytes(numbers[name]) for name in plain)
        mixed_bytes = (self._file_bytes() or 0) - plain_bytes
        if mixed_bytes <= 0 or not quantised:  # then not even those are known
            return {name: (shape, "mixed", 0) for name, shape in dims.items()}
        bytes_each = self._bytes_each({name: numbers[name] for name in quantised}, mixed_bytes)
        return {
            name: (shape, "F32", TensorType.F32.n_bytes(numbers[name]))
            if name in plain
            else (shape, "mixed", round(numbers[name] * bytes_each[is_expert_name(name)]))
            for name, shape in dims.items()
        }

    def _bytes_each(self, numbers: Mapping[str, int], n_bytes: int) -> tuple[float, float]:
        """Of a weight outside the experts, and of one within: those have the fewest bits."""
        n_all = sum(numbers.values())
        n_expert = sum(n for name, n in numbers.items() if is_expert_name(name))
        even = n_bytes / n_all
        counts = self._counts()
        if not n_expert or n_expert == n_all or self._has_foreign(counts):
            return even, even
        n_tensors = n_left = sum(map(is_expert_name, numbers))
        fewest = 0.0
        for size, n in sorted((_bytes_of_one(TensorType[name]), n) for name, n in counts.items()):
            n_taken = min(max(n, 0), n_left)
            fewest, n_left = fewest + size * n_taken, n_left - n_taken
        expert = fewest / n_tensors
        other = (n_bytes - n_expert * expert) / (n_all - n_expert)
        return (even, even) if n_left or other < expert else (other, expert)

    def _types(self, dims: Mapping[str, Dims]) -> Mapping[str, TensorType] | None:
        counts = self._counts()
        if not counts or self._has_foreign(counts):
            return None
        found = types_by_count(dims, counts, self._shape.facts())
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
        return {name: n for name, n in counts.items() if name != "F32"}

    def _has_foreign(self, counts: Mapping[str, int]) -> bool:
        """Whether a type is none of llama.cpp's, as those of forks: the file's size serves then."""
        unknown = counts.keys() - TensorType.__members__.keys()
        if not unknown:
            return False
        told = f"the tensor type {min(unknown)[:40]} is unknown"
        if self._file_bytes() is None:
            raise self._refused(f"{told}, and file_bytes is not given")
        self._notices.append(f"{told}: the size of the weights is that of the file")
        return True

    def _file_bytes(self) -> int | None:
        value = self._document.get("file_bytes")
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 2**60:
            raise self._refused(f"file_bytes is {str(value)[:40]}, no positive whole number")
        return value


def _is_quantised(name: str, shape: Dims) -> bool:
    is_matrix = len(shape) > 1 and name.endswith(".weight")
    return is_matrix and not any(part in name for part in ("ffn_gate_inp", "position_embd"))


def _bytes_of_one(kind: TensorType) -> float:
    return kind.n_bytes(kind.block_weights) / kind.block_weights


def _fitting(name: str, shape: Dims, kind: TensorType) -> TensorType:
    if not _is_quantised(name, shape):
        return TensorType.F32
    return kind if shape[0] % kind.block_weights == 0 else TensorType.F16
