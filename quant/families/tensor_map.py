"""Owns the match between a checkpoint's tensors and an architecture's rules.

The result is a list in the order of llama.cpp's converter: an output stands where the last of the
tensors it is made of stood. Nothing passes by accident: a tensor no rule knows, one that is
missing, or one of another shape than config.json promises is an error. Two rules with the same
target are two ways to store it, of which a checkpoint takes one.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from quant.dtypes import TENSOR_TYPE_OF
from quant.errors import CheckpointDamagedError, UnsupportedError
from quant.families.architecture import Architecture, TensorRule
from quant.families.hyperparameters import Hyperparameters
from quant.rows import RowSource, made_vector, stacked_rows
from quant.source.checkpoint import Checkpoint
from quant.source.safetensors import MAX_TENSORS, StoredTensor

_BUFFERS = (".attention.masked_bias", ".attention.bias", ".rotary_emb.inv_freq")
"""Endings of tensors that old checkpoints carry and nobody needs."""


@dataclass(frozen=True, slots=True)
class MappedTensor:
    """A tensor of the output and where its rows come from."""

    name: str
    shape: tuple[int, ...]
    """Length of a row last; (matrices, rows, columns) for a stack."""
    source: RowSource

    @property
    def rows_per_matrix(self) -> int:
        """All rows, but in a stack."""
        return self.shape[-2] if len(self.shape) > 2 else self.source.n_rows


@dataclass(frozen=True, slots=True)
class ExpectedTensor:
    """An output that a rule promises for a layer, and the names of what it is made of."""

    rule: TensorRule
    name: str
    sources: tuple[str, ...]
    group: str
    """Outputs of the same group are complete at the same time: they share a source, or they are
    the experts of one layer."""


def expected_tensors(
    architecture: Architecture, parameters: Hyperparameters
) -> Iterator[ExpectedTensor]:
    """What the rules promise, in their order. Raises: CheckpointDamagedError if it is too much."""
    n_sources = 0
    for rule in architecture.rules:
        per_expert = "{xid}" in rule.source
        if per_expert and not parameters.n_expert:
            raise CheckpointDamagedError(
                f"config.json does not say how many experts a {architecture.name} model has"
            )
        for bid in rule.layers(parameters) if "{bid}" in rule.source else range(1):
            n_parts = parameters.n_expert if per_expert else 1
            n_sources += n_parts
            if n_sources > MAX_TENSORS:
                raise CheckpointDamagedError(
                    f"config.json promises over {MAX_TENSORS:,} tensors, "
                    f"at {rule.source.format(bid=bid, xid=0)!r}"
                )
            sources = tuple(rule.source.format(bid=bid, xid=xid) for xid in range(n_parts))
            group = f"experts {bid}" if per_expert else sources[0]
            yield ExpectedTensor(rule, rule.target.format(bid=bid), sources, group)


def is_promised(rule: TensorRule, parameters: Hyperparameters) -> bool:
    """Whether a checkpoint must have what the rule names."""
    is_untied_head = rule.source == "lm_head.weight" and not parameters.has_tied_embeddings
    return rule.is_required or is_untied_head


def map_tensors(
    checkpoint: Checkpoint, architecture: Architecture, parameters: Hyperparameters
) -> list[MappedTensor]:
    """Every tensor of the output. Raises: QuantError naming the tensor that does not fit."""
    groups: dict[str, list[ExpectedTensor]] = {}
    group_of: dict[str, str] = {}
    for expected in expected_tensors(architecture, parameters):
        groups.setdefault(expected.group, []).append(expected)
        group_of.update(dict.fromkeys(expected.sources, expected.group))
    mapped = [
        MappedTensor(name, values.shape, made_vector(values))
        for name, values in architecture.made_tensors(parameters).items()
    ]
    n_missing = {
        group: len({name for output in outputs for name in output.sources})
        for group, outputs in groups.items()
    }
    tensors = _tensors_for_text(checkpoint, architecture)
    for name, stored in tensors.items():
        if name.endswith(_BUFFERS) or name in architecture.unused:
            continue
        if any(kind.is_meant(name, parameters) for kind in architecture.left_out):
            continue
        group = group_of.get(name, "")
        if not group:
            raise UnsupportedError(
                f"{stored.path}: tensor {name!r} is no part of a {architecture.name} model "
                f"with {parameters.n_layer} layers"
            )
        n_missing[group] -= 1
        if n_missing[group] == 0:
            mapped.extend(_mapped(output, tensors, parameters) for output in groups.pop(group))
    _require_each_once(mapped, checkpoint.directory)
    made = {tensor.name for tensor in mapped}
    for output in itertools.chain.from_iterable(groups.values()):
        is_wanted = is_promised(output.rule, parameters) and output.name not in made
        _require_nothing_of(output, checkpoint.directory, tensors, is_wanted=is_wanted)
    return mapped


def notices_about(
    checkpoint: Checkpoint, architecture: Architecture, parameters: Hyperparameters
) -> tuple[str, ...]:
    """What the user should know about the model: parts that are left out, and what goes wrong."""
    counted = (
        (kind.notice, sum(kind.is_meant(name, parameters) for name in checkpoint.tensors))
        for kind in architecture.left_out
    )
    left_out = [notice.format(n=n) for notice, n in counted if n]
    return (*left_out, *architecture.notices(parameters))


def _tensors_for_text(
    checkpoint: Checkpoint, architecture: Architecture
) -> Mapping[str, StoredTensor]:
    """The tensors by the names they have in a model for text only."""
    if not architecture.part:
        return checkpoint.tensors
    tensors: dict[str, StoredTensor] = {}
    for name, stored in checkpoint.tensors.items():
        plain = name.replace(architecture.part, "", 1)
        if plain in tensors:
            raise CheckpointDamagedError(f"{stored.path} has tensor {plain!r} under two names")
        tensors[plain] = stored
    return tensors


def _require_each_once(mapped: list[MappedTensor], directory: Path) -> None:
    for name, count in Counter(tensor.name for tensor in mapped).items():
        if count > 1:
            raise CheckpointDamagedError(f"{directory} holds {name} in two ways")


def _require_nothing_of(
    output: ExpectedTensor,
    directory: Path,
    tensors: Mapping[str, StoredTensor],
    *,
    is_wanted: bool,
) -> None:
    """An output that could not be made must be neither wanted nor begun."""
    missing = [name for name in output.sources if name not in tensors]
    if missing and (is_wanted or len(missing) < len(output.sources)):
        raise CheckpointDamagedError(f"{directory} lacks tensor {missing[0]!r}")


def _mapped(
    expected: ExpectedTensor, tensors: Mapping[str, StoredTensor], parameters: Hyperparameters
) -> MappedTensor:
    rule = expected.rule
    shape = _shape(rule.shape, parameters)
    parts = []
    for name in expected.sources:
        _require_shape_and_dtype(tensors[name], shape)
        parts.append(rule.arrange(tensors[name], parameters))
    is_stack = "{xid}" in rule.source
    out_shape = _shape(rule.into, parameters) or shape
    return MappedTensor(
        expected.name,
        (len(parts), *out_shape) if is_stack else out_shape,
        stacked_rows(parts) if is_stack else parts[0],
    )


def _shape(names: tuple[str, ...], parameters: Hyperparameters) -> tuple[int, ...]:
    return tuple(parameters.dimension(name) for name in names)


def _require_shape_and_dtype(stored: StoredTensor, shape: tuple[int, ...]) -> None:
    if stored.shape != shape:
        raise CheckpointDamagedError(
            f"{stored.path}: tensor {stored.name!r} is {list(stored.shape)}, "
            f"config.json makes it {list(shape)}"
        )
    if stored.dtype not in TENSOR_TYPE_OF:
        raise UnsupportedError(
            f"{stored.path}: tensor {stored.name!r} is {stored.dtype}; "
            f"known are {', '.join(TENSOR_TYPE_OF)}"
        )
