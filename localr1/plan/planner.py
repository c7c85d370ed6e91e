"""Owns the answer: chooses the context and the layers on the GPU, and says what would help. Pure.

A card, a request, the devices and the host's memory go in; a `MemoryPlan` comes out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from backends.device import Device
from backends.dispatch import choose_devices
from localr1.model_card import ModelCard
from localr1.plan.decoder_graph import VERIFIED_ARCHITECTURES
from localr1.plan.kv_cache import CELL_STEP, holds, kv_bytes_per_layer, padded_cells
from localr1.plan.memory_plan import Fix, MemoryPlan, Verdict
from localr1.plan.placement import Placement, Placer
from localr1.plan.request import HostMemory, PlanRequest

# A thought takes thousands of tokens, so a reasoning model gets 16k where that fits, and less
# than 8k only where even that does not.
_PREFERRED_CTX = (16_384, 8192, 4096, 2048, 1024, 512)
_SHOWN_CTX = 4096  # where nothing fits, a plan is drawn for this


def make_plan(
    card: ModelCard, request: PlanRequest, devices: Sequence[Device], host: HostMemory
) -> MemoryPlan:
    """The memory plan of one model on this hardware.

    Raises: UnsupportedParametersError for cache types that cannot hold this model;
    DeviceNotFoundError if the request names a device that is not there.
    """
    gpus = choose_devices(devices, request.device)
    solver = _Solver(card, request, gpus, host)
    n_ctx = solver.n_ctx()
    placement = solver.placer.best(n_ctx)
    verdict = solver.verdict(placement)
    return MemoryPlan(
        card=card,
        request=request,
        n_ctx=n_ctx,
        n_gpu_layers=placement.n_gpu_layers,
        devices=placement.devices,
        host=placement.host,
        kv_bytes_per_token=_kv_bytes_per_token(card, request),
        verdict=verdict,
        failing_stage=next((p.failing_stage for p in placement.places if p.failing_stage), None),
        margin_bytes=placement.margin_bytes,
        fixes=() if verdict is Verdict.FITS else solver.fixes(n_ctx, placement),
        max_ctx=solver.max_ctx(),
        notices=tuple(_notices(card, n_ctx, placement)),
    )


class _Solver:
    def __init__(
        self, card: ModelCard, request: PlanRequest, gpus: Sequence[Device], host: HostMemory
    ) -> None:
        self._card = card
        self._request = request
        self._gpus = gpus
        self._host = host
        self._longest = padded_cells(card.n_ctx_train)
        self._max_ctx: int | None = None
        self.placer = Placer(card, request, gpus, host)

    def verdict(self, placement: Placement) -> Verdict:
        if not placement.fits:
            return Verdict.DOES_NOT_FIT
        if self._gpus and placement.n_gpu_layers <= self._card.n_layer:
            return Verdict.FITS_WITH_OFFLOAD
        return Verdict.FITS

    def n_ctx(self) -> int:
        """The context asked for, or the longest preferred one that fits best."""
        wanted = self._request.n_ctx
        if wanted == "max":
            return self.max_ctx() or min(_SHOWN_CTX, self._longest)
        if wanted is not None:
            return padded_cells(wanted)
        choices = sorted({min(n_ctx, self._longest) for n_ctx in _PREFERRED_CTX}, reverse=True)
        verdicts = {}
        for n_ctx in choices:
            verdicts[n_ctx] = self.verdict(self.placer.best(n_ctx))
            if verdicts[n_ctx] is Verdict.FITS:
                return n_ctx
        with_offload = [n for n in choices if verdicts[n] is Verdict.FITS_WITH_OFFLOAD]
        return with_offload[0] if with_offload else min(_SHOWN_CTX, self._longest)

    def max_ctx(self) -> int:
        """The longest context the model was trained for and that fits, all on the GPU if it can."""
        if self._max_ctx is None:
            best = self.verdict(self.placer.best(min(CELL_STEP, self._longest)))
            self._max_ctx = 0 if best is Verdict.DOES_NOT_FIT else self._longest_with(best)
        return self._max_ctx

    def fixes(self, n_ctx: int, now: Placement) -> tuple[Fix, ...]:
        """Changes that save memory: those that are enough first, each by what it saves."""
        found = []
        for change, costs, request in self._changes(n_ctx):
            solver = _Solver(self._card, request, self._gpus, self._host)
            placement = solver.placer.best(solver.n_ctx())
            saves_bytes = now.need_bytes - placement.need_bytes
            if saves_bytes > 0:
                found.append(
                    Fix(
                        change=change,
                        saves_bytes=saves_bytes,
                        costs=costs,
                        is_enough=solver.verdict(placement) is Verdict.FITS,
                    )
                )
        return tuple(sorted(found, key=lambda fix: (not fix.is_enough, -fix.saves_bytes)))

    def _changes(self, n_ctx: int) -> list[tuple[str, str, PlanRequest]]:
        request, changes = replace(self._request, n_ctx=n_ctx), []
        if not request.uses_flash_attn:
            changes.append(("--flash-attn on", "nothing", replace(request, flash_attn="on")))
        shorter = (
            self.max_ctx() if 0 < self.max_ctx() < n_ctx else n_ctx // 2 // CELL_STEP * CELL_STEP
        )
        if shorter:
            changes.append(
                (f"--ctx {shorter}", "shorter conversations", replace(request, n_ctx=shorter))
            )
        head_dims = {*self._card.head_dim_k, *self._card.head_dim_v}
        for name, costs in (("q8_0", "hardly any precision"), ("q4_0", "some precision")):
            if request.uses_flash_attn and holds(name, head_dims):
                changes.append((f"--kv {name}", costs, replace(request, type_k=name, type_v=name)))
        if request.n_ubatch > 128:
            changes.append(
                ("--ubatch 128", "slower reading of prompts", replace(request, n_ubatch=128))
            )
        return changes

    def _longest_with(self, best: Verdict) -> int:
        if self.verdict(self.placer.best(self._longest)) is best:
            return self._longest
        low, high = 1, self._longest // CELL_STEP  # in steps; low fits, high does not
        while low < high - 1:
            middle = (low + high) // 2
            if self.verdict(self.placer.best(middle * CELL_STEP)) is best:
                low = middle
            else:
                high = middle
        return low * CELL_STEP


def _kv_bytes_per_token(card: ModelCard, request: PlanRequest) -> int:
    """Bytes each further token of context costs once the sliding windows are full."""
    everywhere = replace(request, n_seq_max=1, swa_full=True)
    per_layer = kv_bytes_per_layer(card, everywhere, CELL_STEP)
    growing = (
        n_bytes
        for n_bytes, is_swa in zip(per_layer, card.is_swa, strict=True)
        if request.swa_full or not is_swa
    )
    return sum(growing) // CELL_STEP


def _notices(card: ModelCard, n_ctx: int, placement: Placement) -> list[str]:
    notices = [f"not sized yet: {what.value}" for what in card.unplanned]
    if card.arch not in VERIFIED_ARCHITECTURES:
        notices.append(f"the compute buffer of {card.arch} is taken to be like llama's")
    if n_ctx > padded_cells(card.n_ctx_train):
        notices.append(f"the model was trained on {card.n_ctx_train} tokens, the context is longer")
    if placement.devices:
        notices.append("buffers on a GPU follow the same formulas, but were not measured on one")
    return notices
