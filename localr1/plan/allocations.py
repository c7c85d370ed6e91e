"""Owns the largest single allocations of a device: what a driver may refuse though there is room.

Weights and caches are spread over several buffers, but each tensor lies in one
(`ggml_backend_alloc_ctx_tensors_from_buft` in ggml/src/ggml-alloc.c of llama.cpp at the pinned
version). Compute buffers are spread as `chunks` says; in older versions each is one allocation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from localr1.plan.device_plan import Allocation, Stage
from quant.gguf.contents import TensorInfo


def largest_allocations(
    weights: Iterable[TensorInfo],
    layers: Iterable[int],
    *,
    caches: Sequence[tuple[int, int]],
    states: Sequence[int],
    compute_bytes: int,
) -> tuple[Allocation, ...]:
    """The largest of each stage. `caches` (K and V) and `states` are bytes by layer."""
    tensors = [Allocation(Stage.WEIGHTS, tensor.name, tensor.n_bytes) for tensor in weights]
    remembered = []
    for layer in layers:
        if layer < len(caches):
            named = zip("KV", caches[layer], strict=True)
            remembered += [
                Allocation(Stage.KV, f"{name} cache of layer {layer}", n_bytes)
                for name, n_bytes in named
            ]
            remembered.append(Allocation(Stage.KV, f"state of layer {layer}", states[layer]))
    compute = [Allocation(Stage.COMPUTE, "compute buffer", compute_bytes)]
    found = (
        max(of_stage, key=lambda a: a.n_bytes, default=None)
        for of_stage in (tensors, remembered, compute)
    )
    return tuple(allocation for allocation in found if allocation is not None)
