"""Owns the check of a finished output: its tensors, and what the model in it predicts.

Tensors are compared with the rows they were made from. Then source and result predict the same
text, if this machine can run the source. An output that holds something else than its source is
moved aside; one that is merely bad stays, and the verdict says so.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from backends.machine import Machine, usable_memory
from localr1.errors import EngineError, EngineRefusedError, OutputDamagedError
from localr1.events import Progress
from localr1.units import GIB, format_bytes
from localr1.verify.fidelity import Fidelity, summary
from localr1.verify.limits import require_explained
from localr1.verify.source_copy import source_as_gguf
from localr1.verify.stamp import source_digest, stamp
from localr1.verify.tensor_errors import OutputFileTensors, TensorError, tensor_errors
from localr1.verify.verifier import Verifier
from quant.blueprint import Blueprint, Source
from quant.errors import QuantError
from quant.gguf.types import TensorType
from quant.source.gguf import GgufModel
from quant.source.safetensors import StoredTensor

OnProgress = Callable[[Progress], None]

_SPARE_BYTES = GIB  # of memory and of disk, for everything else


def check_result(
    source: Source, plan: Blueprint, on_progress: OnProgress, *, n_threads: int | None
) -> Fidelity:
    """Compare the output of `plan`, which has just been written, with its source.

    What was measured goes into the file's metadata, where keys are reserved for it.
    Raises: OutputDamagedError, having moved the output aside.
    """
    if not has_weights(plan):
        return Fidelity(plan.file_type.name, None, reason="the source is not on this disk any more")
    try:
        fidelity = compare(source, plan, on_progress, n_threads=n_threads)
    except OutputDamagedError as exc:
        for file in plan.files:
            file.path.replace(file.path.with_name(f"{file.path.name}.damaged"))
        raise OutputDamagedError(
            exc.message,
            hint="it was renamed to *.damaged; convert again, and check disk and memory",
        ) from exc
    except EngineError as exc:
        fidelity = Fidelity(plan.file_type.name, None, reason=exc.message)
    stamp(plan.files[0].path, fidelity.measures(), source_digest(stored_tensors(plan)))
    return fidelity


def compare(
    source: Source, plan: Blueprint, on_progress: OnProgress, *, n_threads: int | None
) -> Fidelity:
    """How true the file that `plan` describes is to its source; changes nothing.

    Raises: OutputDamagedError if it holds something else, EngineError if nothing can be compared.
    """
    fidelity = Fidelity(plan.file_type.name, None)
    with Verifier() as verifier:
        errors = _tensor_errors(verifier, plan, on_progress, n_threads)
        fidelity = replace(fidelity, tensors=summary(errors))
        return _predicted(verifier, source, plan, fidelity, on_progress)


def has_weights(plan: Blueprint) -> bool:
    """Whether the weights that `plan` was drawn from are on this disk."""
    return all(tensor.path.is_file() for tensor in stored_tensors(plan))


def stored_tensors(plan: Blueprint) -> set[StoredTensor]:
    """Everything of the source that became part of the output."""
    return {tensor for item in plan.tensors for tensor in item.tensor.source.stored}


def _tensor_errors(
    verifier: Verifier, plan: Blueprint, on_progress: OnProgress, n_threads: int | None
) -> list[TensorError]:
    try:
        files = [OutputFileTensors(file.path, verifier.tensors(file.path)) for file in plan.files]
        errors = tensor_errors(
            plan.tensors,
            files,
            on_progress,
            n_threads=n_threads,
        )
        require_explained(errors)
    except (OutputDamagedError, EngineRefusedError) as exc:
        raise OutputDamagedError(
            f"{plan.files[0].path}: {exc.message}",
            hint="convert the checkpoint again, and check disk and memory",
        ) from exc
    return errors


def _predicted(
    verifier: Verifier,
    source: Source,
    plan: Blueprint,
    fidelity: Fidelity,
    on_progress: OnProgress,
) -> Fidelity:
    """The report with predictions, or with the reason why there are none."""
    if fidelity.tensors is not None and fidelity.tensors.max_error == 0:
        return replace(fidelity, reason="every weight is the source's own")
    reference = _own_type(plan)
    if reason := _obstacle(source, plan, reference):
        return replace(fidelity, reason=reason)
    try:
        verifier.run(plan.files[0].path)
    except EngineError as exc:
        return replace(fidelity, reason=f"it does not run: {exc.message}", runs=False)
    try:
        output = plan.files[0].path
        with source_as_gguf(source, output, reference, on_progress) as path:
            prediction = verifier.compare_predictions(
                path,
                lambda share: on_progress(Progress(stage="predictions", done=share, total=1.0)),
            )
    except (EngineError, QuantError) as exc:
        return replace(fidelity, reason=exc.message)
    return replace(fidelity, prediction=prediction)


def _own_type(plan: Blueprint) -> TensorType:
    """The 16- or 32-bit type that holds most of the source's weights as they are."""
    n_bytes: Counter[str] = Counter()
    for item in plan.tensors:
        for tensor in item.tensor.source.stored:
            n_bytes["BF16" if tensor.scale else tensor.dtype] += tensor.n_bytes
    most = n_bytes.most_common(1)[0][0] if n_bytes else "BF16"
    return {"F32": TensorType.F32, "F16": TensorType.F16}.get(most, TensorType.BF16)


def _obstacle(source: Source, plan: Blueprint, reference: TensorType) -> str:
    """Why this machine cannot run source and result side by side; empty if it can."""
    n_source_bytes = reference.n_bytes(plan.n_params)
    n_needed = n_source_bytes + plan.n_bytes + _SPARE_BYTES
    n_available = usable_memory(Machine()).available_bytes
    if n_needed > n_available:
        return (
            f"running source and result takes {format_bytes(n_needed)} of memory, "
            f"{format_bytes(n_available)} are free"
        )
    n_free = shutil.disk_usage(plan.files[0].path.parent).free
    if not isinstance(source, GgufModel) and n_source_bytes + _SPARE_BYTES > n_free:
        return f"running the source takes {format_bytes(n_source_bytes)} more on the disk"
    return ""
