"""Owns the check of a file that was converted earlier: by us, or by llama.cpp from the same source.

A check that was cut short can be made up for without converting again. The source's tensors are
mapped as a conversion would; types and places are the file's own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from localr1.errors import ModelFileError, ModelNotFoundError
from localr1.verify.after import OnProgress, compare, has_weights, stored_tensors
from localr1.verify.fidelity import Fidelity
from localr1.verify.stamp import recorded_digest, source_digest, stamp
from quant.blueprint import Blueprint, draw, open_source
from quant.errors import OutputNotWritableError, UnsupportedError
from quant.gguf.header import GgufHeader
from quant.gguf.parts import joined, read_parts
from quant.gguf.types import FileType, TensorType
from quant.output.files import OutputFile
from quant.output.target import require_apart
from quant.recipe import FILE_TYPES, TypedTensor
from quant.source.shard_store import ShardStore


@dataclass(frozen=True, slots=True)
class Verification:
    """What a check of an existing file showed."""

    fidelity: Fidelity
    not_recorded: str
    """Why the numbers are not in the file's metadata; empty if they are."""


def verify_existing(
    gguf: Path,
    source: Path,
    store: ShardStore,
    on_progress: OnProgress,
    *,
    n_threads: int | None = None,
) -> Verification:
    """Compare a GGUF with the checkpoint, or the GGUF, that it was made from.

    The numbers go into its metadata if room was left for them.
    Raises: OutputDamagedError if it holds something else, ModelFileError if it was made from
    another source, ModelNotFoundError without the source's weights, EngineError, QuantError.
    """
    parts = read_parts(gguf.absolute())
    opened = open_source(source, store)
    plan = _as_it_is(draw(opened, _file_type(parts[0]), gguf, split_bytes=None), parts)
    for tensor in stored_tensors(plan):
        require_apart(tensor.path, [part.path for part in parts])
    if not has_weights(plan):
        raise ModelNotFoundError(
            f"the weights of {source} are not on this disk",
            hint="they stay after a conversion without --delete-shards",
        )
    digest = source_digest(stored_tensors(plan))
    if recorded_digest(parts[0]) not in {"", digest}:
        raise ModelFileError(
            f"{gguf} was made from another source than {source}",
            hint="--source takes the checkpoint that it was converted from",
        )
    fidelity = compare(opened, plan, on_progress, n_threads=n_threads)
    return Verification(fidelity, _recorded(gguf, fidelity, digest))


def _recorded(gguf: Path, fidelity: Fidelity, digest: str) -> str:
    try:
        has_room = stamp(gguf, fidelity.measures(), digest)
    except OutputNotWritableError as exc:
        return exc.message
    return "" if has_room else "the file has no keys for them, so it stays as it is"


def _file_type(header: GgufHeader) -> FileType:
    number = header.kv.get("general.file_type")
    known = {int(file_type): file_type for file_type in FILE_TYPES}
    if not isinstance(number, int) or number not in known:
        names = {int(file_type): file_type.name for file_type in FileType}
        raise UnsupportedError(
            f"{header.path} is of type {names.get(number, 'unknown')}, which nothing here makes"
            if isinstance(number, int)
            else f"{header.path} does not say of what type it is",
            hint=f"known are {', '.join(file_type.name for file_type in FILE_TYPES)}",
        )
    return known[number]


def _as_it_is(plan: Blueprint, parts: tuple[GgufHeader, ...]) -> Blueprint:
    """The plan with the files, and the types of tensors, that are there."""
    types = {tensor.name: TensorType[tensor.type_name] for tensor in joined(parts).tensors}
    expected = {item.tensor.name for item in plan.tensors}
    if odd := sorted(types.keys() ^ expected):
        where = "the source" if odd[0] in types else parts[0].path
        raise ModelFileError(
            f"{parts[0].path} was made from something else: {where} has no tensor {odd[0][:100]}",
            hint="--source takes the checkpoint that it was converted from",
        )
    return replace(
        plan,
        files=[OutputFile(part.path, b"", part.file_bytes) for part in parts],
        tensors=[TypedTensor(item.tensor, types[item.tensor.name]) for item in plan.tensors],
    )
