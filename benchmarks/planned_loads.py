"""Owns the plan of a published load: fixed as it was then, with sizes from the model alone.

What a user chose is an input: layers on GPUs, how they were spread, and experts that were sent to
the host by hand. Only where weights lie by such an override are they taken as printed.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

from backends.errors import BackendError
from benchmarks.printed_machines import Machine, machine_of
from benchmarks.printed_models import metadata_of
from benchmarks.published_loads import Load
from localr1.errors import LocalR1Error
from localr1.metadata.request import read_request
from localr1.model_facts.card import ModelCard
from localr1.plan.compute_buffers import ComputeBuffers
from localr1.plan.device_plan import DevicePlan
from localr1.plan.engine_version import layers_on_gpus
from localr1.plan.kv_cache import kv_bytes_per_layer, padded_cells
from localr1.plan.offload import Split
from localr1.plan.placement import Placement, Placer
from localr1.plan.request import PlanRequest
from localr1.plan.solver import Solver
from localr1.plan.weights import WeightTable
from localr1.units import MIB

_COUNTS = ("n_ctx", "n_batch", "n_ubatch", "n_seq_max")
_OVERRIDE = re.compile(r"(^|\s)(-ot|--override-tensor|-n?cmoe|--(n-)?cpu-moe)\b")
_ABOUT = 0.2  # a layer more or less, and no other kind of cache
_FAR_LESS = 0.9
"""Part of its layers that a device holds at least, if nobody sent experts away."""


class NotPlannedError(Exception):
    """Why a load is left out, in words that many loads share."""


@dataclass(frozen=True, slots=True)
class PlannedLoad:
    """One load, and every buffer as planned."""

    load: Load
    card: ModelCard
    request: PlanRequest
    machine: Machine
    placement: Placement
    knows_types: bool
    """Whether the type of every tensor is known, and not only the size of the file."""
    is_overridden: bool
    """Whether tensors were sent elsewhere by hand."""
    helper_bytes: int
    """Compute buffer of a GPU that holds no layer, yet multiplies long batches for the host."""

    @property
    def devices(self) -> tuple[DevicePlan, ...]:
        """Devices that hold layers, or the one without that helps."""
        if self.helper_bytes:
            return (replace(self.placement.idle[0], compute_bytes=self.helper_bytes),)
        return tuple(map(self._as_overridden, self.placement.devices))

    @property
    def host(self) -> DevicePlan:
        """The machine's own memory."""
        return self.placement.host

    def _as_overridden(self, device: DevicePlan) -> DevicePlan:
        if not self.is_overridden:
            return device
        mib = self.load.on_devices("model_buffers_mib").get(device.name)
        return device if mib is None else replace(device, weights_bytes=int(mib * MIB))


def plan_load(load: Load) -> PlannedLoad:
    """The plan of one load. Raises: NotPlannedError if too little is printed."""
    try:
        return _planned(load)
    except (LocalR1Error, BackendError) as exc:
        raise NotPlannedError(str(exc).removeprefix(f"{load.id}: ")) from exc


def _planned(load: Load) -> PlannedLoad:
    metadata, machine = metadata_of(load), machine_of(load)
    card, request = ModelCard.from_header(metadata.header), _request(load)
    gpus = machine.hardware.gpus
    if load.ran_out and gpus and not load.offloaded:
        # the log ends before it says how many
        request = replace(request, n_gpu_layers=card.n_layer + 1)
    if request.n_ctx is None:
        if not load.ran_out:
            raise NotPlannedError("no context length")
        n_ctx = Solver(card, request, machine.hardware).n_ctx()
    else:
        n_ctx = padded_cells(int(request.n_ctx), request)
    weights = WeightTable(card)
    is_overridden = bool(gpus) and _is_overridden(load, weights, card.n_layer)
    if is_overridden:
        request = replace(request, n_host_experts=_host_experts(load, card, weights))
    placer = Placer(card, request, machine.hardware)
    layers = _spread(load, card, request, n_ctx) if gpus else ()
    if layers is None:
        placement = placer.best(n_ctx)
    else:
        placement = placer.place(n_ctx, Split(layers, request.n_host_experts or 0))
    helper_bytes = 0
    if gpus and not placement.devices:
        helper_bytes = ComputeBuffers(card, request, machine.hardware).of_helper(n_ctx)
    return PlannedLoad(
        load=load,
        card=card,
        request=request,
        machine=machine,
        placement=placement,
        knows_types=all(tensor.type_name != "mixed" for tensor in card.tensors),
        is_overridden=is_overridden,
        helper_bytes=helper_bytes,
    )


def _request(load: Load) -> PlanRequest:
    offloaded = load.offloaded
    values: dict[str, object] = {name: load.count(name) for name in _COUNTS}
    type_k = load.text("type_k") or None
    return read_request(
        values
        | {
            "type_k": type_k,
            "type_v": load.text("type_v") or type_k,  # forks have one cache for both
            "n_gpu_layers": offloaded[0] if offloaded else None,
            "flash_attn": load.flash_attn,
            "kv_unified": str(load.record.get("kv_unified")).lower() == "true" or None,
            "engine": f"b{load.build}" if load.build else None,
        }
    )


def _is_overridden(load: Load, weights: WeightTable, n_layer: int) -> bool:
    if not weights.expert_layers or not load.offloaded or not load.offloaded[0]:
        return False
    printed_mib = sum(load.on_devices("model_buffers_mib").values())
    all_mib = sum(weights.gpu_bytes(i, 0) for i in range(n_layer + 1)) / MIB
    is_short = load.is_whole and 0 < printed_mib < _FAR_LESS * all_mib
    return is_short or _OVERRIDE.search(load.text("cmd")) is not None


def _host_experts(load: Load, card: ModelCard, weights: WeightTable) -> int:
    """The number of first layers without their experts that comes nearest to what is printed."""
    printed_bytes = sum(load.on_devices("model_buffers_mib").values()) * MIB
    n_offloaded = load.offloaded[0] if load.offloaded else 0
    layers = layers_on_gpus(min(n_offloaded, card.n_layer + 1), card.n_layer, load.build)
    return min(
        range(card.n_layer + 1),
        key=lambda n: abs(sum(weights.gpu_bytes(i, n) for i in layers) - printed_bytes),
    )


def _spread(
    load: Load, card: ModelCard, request: PlanRequest, n_ctx: int
) -> tuple[int, ...] | None:
    """Layers per device, so that each one's cache is as large as printed; None if it is unknown."""
    if not load.offloaded:
        return None
    names, caches = load.device_names, load.on_devices("kv_buffers_mib")
    n_layers = min(load.offloaded[0], card.n_layer + 1)
    if len(names) == 1:
        return (n_layers,)
    kv_bytes = [*kv_bytes_per_layer(card, request, n_ctx), 0]
    on_gpus = layers_on_gpus(n_layers, card.n_layer, load.build)
    all_mib = sum(kv_bytes[layer] for layer in on_gpus) / MIB
    if not all_mib or not math.isclose(sum(caches.values()), all_mib, rel_tol=_ABOUT):
        return None
    layer, layers = on_gpus.start, [0] * len(names)
    for place, name in enumerate(names):
        left = caches.get(name, 0.0) * MIB
        while layer in on_gpus and left > kv_bytes[layer] / 2:
            left -= kv_bytes[layer]
            layers[place] += 1
            layer += 1
    last = max((place for place, n in enumerate(layers) if n), default=0)
    layers[last] += on_gpus.stop - layer
    return tuple(layers)
