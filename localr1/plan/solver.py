"""Owns the choice of the context, and the verdict on it: one model, one request, one machine. Pure.

What the user fixed stays; the rest is solved around it.
"""

from __future__ import annotations

from functools import lru_cache

from localr1.model_facts.card import ModelCard
from localr1.plan.hardware import Hardware
from localr1.plan.kv_cache import CELL_STEP, padded_cells
from localr1.plan.memory_plan import Verdict
from localr1.plan.placement import Placement, Placer
from localr1.plan.request import PlanRequest

# A thought takes thousands of tokens: 16k where that fits on the GPU, less down to 4k; then
# rather a part of the model on the host than a context in which no thought ends.
_PREFERRED_CTX = (16_384, 8192, 4096)
_SHORT_CTX = (2048, 1024, 512)
_SHOWN_CTX = 4096  # where nothing fits, a plan is drawn for this


class Solver:
    """Answers what fits, for contexts of any length."""

    def __init__(self, card: ModelCard, request: PlanRequest, hardware: Hardware) -> None:
        self.card = card
        self.request = request
        self.hardware = hardware
        self._longest = padded_cells(card.n_ctx_train)
        self._max_ctx: int | None = None
        self.placer = Placer(card, request, hardware)
        self.placement = lru_cache(self.placer.best)

    def verdict(self, placement: Placement) -> Verdict:
        """Whether a placement fits, and whether the processor has to help a GPU."""
        if not placement.fits:
            return Verdict.DOES_NOT_FIT
        split = placement.split
        is_whole = split.n_gpu_layers > self.card.n_layer and not split.n_host_experts
        return Verdict.FITS if is_whole or not self.hardware.gpus else Verdict.FITS_WITH_OFFLOAD

    def n_ctx(self) -> int:
        """The context asked for, or the longest preferred one that fits best."""
        wanted = self.request.n_ctx
        if wanted == "max":
            return self.max_ctx() or min(_SHOWN_CTX, self._longest)
        if wanted is not None:
            return padded_cells(wanted, self.request)
        for lengths in (_PREFERRED_CTX, _SHORT_CTX):
            choices = sorted({min(n_ctx, self._longest) for n_ctx in lengths}, reverse=True)
            for verdict in (Verdict.FITS, Verdict.FITS_WITH_OFFLOAD):
                for n_ctx in choices:
                    if self._is(verdict, n_ctx):
                        return n_ctx
        return min(_SHOWN_CTX, self._longest)

    def max_ctx(self) -> int:
        """The longest context the model was trained for and that fits, all on the GPU if it can."""
        if self._max_ctx is None:
            # what fits with the context chosen fits with a shorter one
            best = self._verdict_at(self.n_ctx()) if self.request.n_ctx != "max" else None
            if best is not Verdict.FITS:
                best = self._verdict_at(min(CELL_STEP, self._longest))
            self._max_ctx = 0 if best is Verdict.DOES_NOT_FIT else self._longest_with(best)
        return self._max_ctx

    def _verdict_at(self, n_ctx: int) -> Verdict:
        return self.verdict(self.placement(n_ctx))

    def _is(self, verdict: Verdict, n_ctx: int) -> bool:
        """Whether that is the verdict, without a search for a split where none is needed."""
        if verdict is Verdict.FITS and not self.placer.may_fit_whole(n_ctx):
            return False
        return self._verdict_at(n_ctx) is verdict

    def _longest_with(self, best: Verdict) -> int:
        if self._is(best, self._longest):
            return self._longest
        low, high = 1, self._longest // CELL_STEP  # in steps; low fits, high does not
        while low < high - 1:
            middle = (low + high) // 2
            if self._is(best, middle * CELL_STEP):
                low = middle
            else:
                high = middle
        return low * CELL_STEP
