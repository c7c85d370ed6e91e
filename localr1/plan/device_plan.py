"""Owns what one device, or the host, holds in a plan; whether it fits there, and what fails first.

Bytes are exact integers, and every buffer is counted the way llama.cpp's log prints it, so that the
two can be laid side by side.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from backends.device import Device, DeviceKind
from localr1.plan.ledger import Correction


class Stage(StrEnum):
    """What llama.cpp was allocating when the memory ran out."""

    WEIGHTS = "weights"
    KV = "kv"
    COMPUTE = "compute"
    FIRST_RUN = "first_run"


@dataclass(frozen=True, slots=True)
class Allocation:
    """One piece of memory that is asked for at once."""

    stage: Stage
    what: str
    """The name of a tensor, or which cache or buffer."""
    n_bytes: int

    def to_json(self) -> dict[str, Any]:
        """What `too_large` says of a device."""
        return {"stage": self.stage.value, "what": self.what, "bytes": self.n_bytes}


@dataclass(frozen=True, slots=True, kw_only=True)
class DevicePlan:
    """What one device, or the host, is to hold."""

    name: str
    kind: DeviceKind
    total_bytes: int
    free_bytes: int
    limit_bytes: int
    """What may be used of it."""
    weights_bytes: int
    unused_bytes: int = 0
    """Part of the weights that is mapped but never read again; it need not fit."""
    kv_bytes: int
    recurrent_bytes: int = 0
    compute_bytes: int
    output_bytes: int
    overhead_bytes: tuple[int, int]
    """Driver, tokenizer, threads and the process itself: from, to."""
    layers: tuple[int, int] | None
    """First and last layer held here; the output layer is number n_layer."""
    expert_layers_on_host: int = 0
    """Of these layers, how many have their experts in the machine's own memory."""
    corrections: tuple[Correction, ...] = ()
    """Sizes that earlier loads on this machine have changed."""
    max_alloc_bytes: int | None = None
    """The most that the driver gives at once; None if no limit is known."""
    largest: tuple[Allocation, ...] = ()
    """The largest allocation of each stage, where one may be above that limit."""

    @classmethod
    def idle(cls, gpu: Device) -> DevicePlan:
        """That of a GPU that holds nothing."""
        return cls(
            name=gpu.name,
            kind=gpu.kind,
            total_bytes=gpu.total_bytes,
            free_bytes=gpu.free_bytes,
            limit_bytes=gpu.free_bytes,
            weights_bytes=0,
            kv_bytes=0,
            compute_bytes=0,
            output_bytes=0,
            overhead_bytes=(0, 0),
            layers=None,
        )

    @property
    def held_layers(self) -> range:
        """The layers held here; none, if `layers` is None."""
        return range(0) if self.layers is None else range(self.layers[0], self.layers[1] + 1)

    @property
    def need_bytes(self) -> int:
        """Bytes that must be there, with the upper end of the overhead."""
        weights_bytes = self.weights_bytes - self.unused_bytes
        cache_bytes = self.kv_bytes + self.recurrent_bytes
        run_bytes = self.compute_bytes + self.output_bytes
        return weights_bytes + cache_bytes + run_bytes + self.overhead_bytes[1]

    @property
    def margin_bytes(self) -> int:
        """What stays free; negative when it does not fit."""
        return self.limit_bytes - self.need_bytes

    @property
    def too_large(self) -> Allocation | None:
        """The first allocation that the driver refuses, however much is free."""
        limit_bytes = self.max_alloc_bytes
        if limit_bytes is None:
            return None
        return next((piece for piece in self.largest if piece.n_bytes > limit_bytes), None)

    @property
    def fits(self) -> bool:
        """Whether there is room for everything, and every allocation is granted."""
        return self.margin_bytes >= 0 and self.too_large is None

    @property
    def failing_stage(self) -> Stage | None:
        """The first allocation that would fail."""
        weights_bytes = self.weights_bytes - self.unused_bytes
        stages = (
            (Stage.WEIGHTS, weights_bytes),
            (Stage.KV, self.kv_bytes + self.recurrent_bytes),
            (Stage.COMPUTE, self.compute_bytes + self.output_bytes),
            (Stage.FIRST_RUN, self.overhead_bytes[1]),
        )
        left_bytes = self.limit_bytes
        refused = self.too_large
        for stage, n_bytes in stages:
            left_bytes -= n_bytes
            if left_bytes < 0 or (refused is not None and refused.stage is stage):
                return stage
        return None

    def to_json(self) -> dict[str, Any]:
        """The device's object of design section 3.4."""
        return {
            "name": self.name,
            "kind": self.kind.value,
            "total_bytes": self.total_bytes,
            "free_bytes": self.free_bytes,
            "limit_bytes": self.limit_bytes,
            "weights_bytes": self.weights_bytes,
            "unused_bytes": self.unused_bytes,
            "kv_bytes": self.kv_bytes,
            "recurrent_bytes": self.recurrent_bytes,
            "compute_bytes": self.compute_bytes,
            "output_bytes": self.output_bytes,
            "overhead_bytes": list(self.overhead_bytes),
            "layers": None if self.layers is None else list(self.layers),
            "expert_layers_on_host": self.expert_layers_on_host,
            "corrections": [correction.to_json() for correction in self.corrections],
            "max_alloc_bytes": self.max_alloc_bytes,
            "too_large": None if self.too_large is None else self.too_large.to_json(),
        }
