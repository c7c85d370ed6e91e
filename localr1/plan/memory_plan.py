"""Owns the memory plan as data: devices, verdict, speed and what helps, and its JSON.

Design section 3.4 fixes the JSON; fields are only ever added.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from backends.parameters import LoadRequest
from localr1.model_facts.card import ModelCard
from localr1.plan.device_plan import DevicePlan, Stage
from localr1.plan.engine_version import engine_name
from localr1.plan.offload import Split
from localr1.plan.rate import Range
from localr1.plan.request import PlanRequest


class Verdict(StrEnum):
    """The answer in one word."""

    FITS = "fits"
    FITS_WITH_OFFLOAD = "fits_with_offload"  # part of the model stays in the machine's own memory
    DOES_NOT_FIT = "does_not_fit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Tokens per second, from and to."""

    decode_tokens_per_s: Range
    """Of the answer, while the context is nearly empty."""
    full_decode_tokens_per_s: Range
    """Of the answer, once the context is full."""
    prefill_tokens_per_s: Range | None
    """Of a prompt; None where the compute of a device is not known."""
    bound_by: str
    """What takes most of the time of a token."""

    def to_json(self) -> dict[str, Any]:
        """The object of design section 3.4, and the speed with a full context."""
        prefill = self.prefill_tokens_per_s
        return {
            "decode_tokens_per_s": list(self.decode_tokens_per_s),
            "full_decode_tokens_per_s": list(self.full_decode_tokens_per_s),
            "prefill_tokens_per_s": None if prefill is None else list(prefill),
            "bound_by": self.bound_by,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Fix:
    """One change that saves memory."""

    change: str
    """As it is written on the command line."""
    saves_bytes: int
    costs: str
    is_enough: bool
    """Whether the model fits with this change alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPlan:
    """The whole answer. `devices` are GPUs; without one everything is on the host."""

    card: ModelCard
    request: PlanRequest
    """With the cache types that were picked; its context is the one asked for, if any was."""
    n_ctx: int
    """The context planned for, a multiple of what llama.cpp rounds to."""
    split: Split
    devices: tuple[DevicePlan, ...]
    """GPUs that hold at least one layer."""
    idle: tuple[DevicePlan, ...]
    """GPUs that hold none, and are not used at all."""
    host: DevicePlan
    kv_bytes_per_token: int
    verdict: Verdict
    failing_stage: Stage | None
    margin_bytes: int
    fixes: tuple[Fix, ...]
    max_ctx: int
    """Longest context that fits; 0 if none does."""
    speed: Speed | None
    """None where nobody said how fast the devices are."""
    notices: tuple[str, ...]
    """What this plan does not know, in sentences."""

    @property
    def n_gpu_layers(self) -> int:
        """Layers on any GPU; the output layer counts as one."""
        return self.split.n_gpu_layers

    @property
    def expert_layers_on_host(self) -> int:
        """Layers on GPUs that leave their experts to the host; dense ones are not among them."""
        return sum(device.expert_layers_on_host for device in self.devices)

    @property
    def places(self) -> tuple[DevicePlan, ...]:
        """Devices, then the host."""
        return (*self.devices, self.host)

    @property
    def need_bytes(self) -> int:
        """Bytes over all places."""
        return sum(place.need_bytes for place in self.places)

    def load_request(self, model_path: str) -> LoadRequest:
        """What to ask of the engine, so that it loads what was planned."""
        request = self.request
        return LoadRequest(
            model_path=model_path,
            n_ctx=self.n_ctx,
            n_layer=self.card.n_layer,
            n_batch=request.n_batch,
            n_ubatch=request.n_ubatch,
            n_outputs=request.n_outputs,
            type_k=request.type_k,
            type_v=request.type_v,
            flash_attn=request.flash_attn,
            n_gpu_layers=self.n_gpu_layers if self.devices else None,
            layers_per_device=tuple(n_layers for n_layers in self.split.layers if n_layers),
            n_host_experts=self.split.n_host_experts,
            use_mmap=request.use_mmap,
            swa_full=request.swa_full,
        )

    def to_json(self) -> dict[str, Any]:
        """The document of design section 3.4, and what was added to it."""
        card, request = self.card, replace(self.request, n_ctx=self.n_ctx)
        return {
            "model": {
                "name": card.name,
                "arch": card.arch,
                "n_params": card.n_params,
                "file_bytes": card.file_bytes,
                "quant": card.quant,
            },
            "request": {
                "n_ctx": request.n_ctx,
                "n_batch": request.n_batch,
                "n_ubatch": request.n_ubatch,
                "n_seq_max": request.n_seq_max,
                "n_outputs": request.n_outputs,
                "flash_attn": request.flash_attn,
                "type_k": request.type_k,
                "type_v": request.type_v,
                "n_gpu_layers": self.n_gpu_layers,
                "swa_full": request.swa_full,
                "mmap": request.use_mmap,
                "engine": engine_name(self.request.engine_build),
            },
            "devices": [device.to_json() for device in (*self.devices, *self.idle)],
            "host": self.host.to_json(),
            "kv_bytes_per_token": self.kv_bytes_per_token,
            "verdict": self.verdict.value,
            "failing_stage": None if self.failing_stage is None else self.failing_stage.value,
            "margin_bytes": self.margin_bytes,
            "fixes": [asdict(fix) for fix in self.fixes],
            "max_ctx": self.max_ctx,
            "speed": None if self.speed is None else self.speed.to_json(),
            "notices": list(self.notices),
        }
