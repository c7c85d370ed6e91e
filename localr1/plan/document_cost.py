"""Owns what a document costs a model: tokens, cache, context, time; whether it fits, what if not.

Pure. The plan is made for the context that the document needs, with room for a thought and an
answer behind it. Every way out is a plan of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Protocol

from localr1.model_facts.card import ModelCard
from localr1.plan.comfort import is_comfortable
from localr1.plan.kv_cache import padded_cells
from localr1.plan.memory_plan import Fix, MemoryPlan, Verdict
from localr1.plan.prompt_attention import slowdown
from localr1.plan.request import PlanRequest
from localr1.plan.smaller_model import LOST

PROMPT_TOKENS = 256
"""Kept for the question, and for what the chat template and the frame of a document add."""

_RESERVED_TOKENS = 4096  # in less, few thoughts come to their end
_RESERVED_SHARE = 4  # of the context that a small model was trained on
_LEAST_RESERVED = 512
_WORTH_READING = 256  # tokens; a shorter part of a document is no way out


class Planned(Protocol):
    """`make_plan` on some machine."""

    def __call__(
        self, card: ModelCard, request: PlanRequest, *, with_fixes: bool = True
    ) -> MemoryPlan:
        """The plan of a model."""
        ...


class Obstacle(StrEnum):
    """Why a document does not fit."""

    MEMORY = "memory"
    CONTEXT = "context"  # the one that was asked for is shorter
    TRAINING = "training"  # the model never saw texts as long


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentNeed:
    """What has to fit into the context, in tokens."""

    n_document: int
    n_prompt: int = PROMPT_TOKENS
    n_reserved: int
    """For thinking and answer."""

    @property
    def n_ctx(self) -> int:
        """The shortest context that holds all of it, as llama.cpp rounds."""
        return padded_cells(self.n_document + self.n_prompt + self.n_reserved)


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentCost:
    """What a document costs in a plan."""

    need: DocumentNeed
    kv_bytes: int
    """What the cache grows by; windows that slide and recurrent states do not grow."""
    room_tokens: int
    """The longest document that fits as things are."""
    room_bytes: int
    """The cache of that one."""
    obstacle: Obstacle | None
    """None if it fits."""
    reading_s: tuple[float, float] | None
    """From, to; None where the speed of prompts is not known."""
    ways_out: tuple[Fix, ...]
    """Those that are enough first, and the least drastic of these first."""

    def to_json(self) -> dict[str, Any]:
        """For the plan's document, which has the ways out under `fixes`."""
        return {
            "n_tokens": self.need.n_document,
            "prompt_tokens": self.need.n_prompt,
            "reserved_tokens": self.need.n_reserved,
            "needed_ctx": self.need.n_ctx,
            "kv_bytes": self.kv_bytes,
            "room_tokens": self.room_tokens,
            "room_bytes": self.room_bytes,
            "fits": self.obstacle is None,
            "obstacle": None if self.obstacle is None else self.obstacle.value,
            "reading_s": None if self.reading_s is None else list(self.reading_s),
        }


def reserved_tokens(card: ModelCard) -> int:
    """What is kept free for thinking and answer unless someone says otherwise."""
    return min(_RESERVED_TOKENS, card.n_ctx_train // _RESERVED_SHARE)


def plan_document(
    card: ModelCard,
    request: PlanRequest,
    need: DocumentNeed,
    planned: Planned,
    smaller: Iterable[ModelCard] = (),
) -> tuple[MemoryPlan, DocumentCost]:
    """The plan for a document, and what the document costs in it.

    The plan's fixes are the document's ways out. `smaller` are models to offer instead, the largest
    first.
    Raises: as `make_plan`.
    """
    if request.n_ctx == "max" and planned(card, request, with_fixes=False).n_ctx < need.n_ctx:
        request = replace(request, n_ctx=None)  # what would help is planned for what is needed
    asked = request if request.n_ctx is not None else replace(request, n_ctx=need.n_ctx)
    plan = planned(card, asked)
    reach = plan.max_ctx if request.n_ctx is None else min(plan.n_ctx, plan.max_ctx)
    room_tokens = max(reach - need.n_prompt - need.n_reserved, 0)
    obstacle = _obstacle(plan, need)
    ways_out = plan.fixes
    if obstacle is not None or plan.verdict is not Verdict.FITS:
        search = _Search(plan, request, need, planned)
        found = [*search.changes(), *search.shorter(room_tokens), *search.models(smaller)]
        ways_out = tuple(sorted(found, key=lambda way: not way.is_enough))
    cost = DocumentCost(
        need=need,
        kv_bytes=need.n_document * plan.kv_bytes_per_token,
        room_tokens=room_tokens,
        room_bytes=room_tokens * plan.kv_bytes_per_token,
        obstacle=obstacle,
        reading_s=_reading_s(plan, need),
        ways_out=ways_out,
    )
    return replace(plan, fixes=ways_out), cost


def _obstacle(plan: MemoryPlan, need: DocumentNeed) -> Obstacle | None:
    if need.n_ctx > padded_cells(plan.card.n_ctx_train):
        return Obstacle.TRAINING
    if need.n_ctx > plan.n_ctx:
        return Obstacle.CONTEXT
    return Obstacle.MEMORY if plan.verdict is Verdict.DOES_NOT_FIT else None


def _reading_s(plan: MemoryPlan, need: DocumentNeed) -> tuple[float, float] | None:
    speed = plan.speed
    if speed is None or speed.prefill_tokens_per_s is None:
        return None
    slow, fast = speed.prefill_tokens_per_s
    n_tokens = need.n_document + need.n_prompt
    n_short = n_tokens * slowdown(plan.card, n_tokens)
    return n_short / fast, n_short / slow


def _drasticness(fix: Fix) -> tuple[bool, int]:
    """Of several that are enough the smallest change first, else the one that saves most."""
    is_other_file = fix.change.startswith("convert ")
    return is_other_file, fix.saves_bytes if fix.is_enough else -fix.saves_bytes


class _Search:
    """Plans what would help, from the least drastic to the most."""

    def __init__(
        self, now: MemoryPlan, request: PlanRequest, need: DocumentNeed, planned: Planned
    ) -> None:
        self._now = now
        self._request = request
        self._need = need
        self._planned = planned
        self._obstacle = _obstacle(now, need)

    def changes(self) -> Iterator[Fix]:
        """Another way of loading the same model, as far as the plan knows some."""
        if self._obstacle is Obstacle.TRAINING:
            return
        if self._need.n_ctx > self._now.n_ctx:
            longer = replace(self._request, n_ctx=self._need.n_ctx)
            after = self._planned(self._now.card, longer, with_fixes=False)
            yield self._way(f"--ctx {longer.n_ctx}", "more memory", self._need, after)
            return  # the plan's own fixes are for the context that is too short
        own = [fix for fix in self._now.fixes if not fix.change.startswith("--ctx ")]
        yield from sorted(own, key=_drasticness)

    def shorter(self, room_tokens: int) -> Iterator[Fix]:
        """Less room for the reply, or a part of the document."""
        need = self._need
        for n_reserved in (need.n_reserved // 2, need.n_reserved // 4):
            if n_reserved >= _LEAST_RESERVED:
                less = replace(need, n_reserved=n_reserved)
                after = self._after(less, self._now.card)
                way = self._way(f"--reserve {n_reserved}", "the end of long thoughts", less, after)
                if way.is_enough:
                    yield way
                    break
        if _WORTH_READING <= room_tokens < need.n_document:
            part = replace(need, n_document=room_tokens)
            left_out = -(-100 * (need.n_document - room_tokens) // need.n_document)
            after = self._after(part, self._now.card)
            costs = f"the last {left_out} % of the text"
            yield self._way(f"--document-tokens {room_tokens}", costs, part, after)

    def models(self, smaller: Iterable[ModelCard]) -> Iterator[Fix]:
        """The largest smaller model that takes the document in comfort, or else at all."""
        at_all: list[Fix] = []
        for card in smaller:
            after = self._after(self._need, card)
            way = self._way(card.name, LOST, self._need, after)
            if way.is_enough and is_comfortable(after):
                yield way
                return
            at_all += [way] if way.is_enough else []
        yield from at_all[:1]

    def _after(self, need: DocumentNeed, card: ModelCard) -> MemoryPlan:
        request = self._request
        if request.n_ctx is None:
            request = replace(request, n_ctx=need.n_ctx)
        return self._planned(card, request, with_fixes=False)

    def _way(self, change: str, costs: str, need: DocumentNeed, after: MemoryPlan) -> Fix:
        is_enough = _obstacle(after, need) is None and (
            self._obstacle is not None or after.verdict is Verdict.FITS
        )
        saves_bytes = max(self._now.need_bytes - after.need_bytes, 0)
        return Fix(change=change, saves_bytes=saves_bytes, costs=costs, is_enough=is_enough)
