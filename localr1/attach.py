"""Owns documents on their way into a conversation: counted, planned for, framed.

What a document costs is known, and told, before anything is loaded for it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from localr1.catalogue.siblings import smaller_siblings
from localr1.chat.attachments import framed
from localr1.documents.document import Document
from localr1.documents.estimate import Count
from localr1.documents.token_count import TokenCounter
from localr1.errors import DoesNotFitError, UsageError
from localr1.model_facts.card import ModelCard
from localr1.plan.document_cost import (
    PROMPT_TOKENS,
    DocumentCost,
    DocumentNeed,
    Planned,
    plan_document,
    reserved_tokens,
)
from localr1.plan.document_lines import context_line, headline, offer
from localr1.plan.memory_plan import MemoryPlan, Verdict
from localr1.plan.request import PlanRequest
from localr1.units import format_count

_FRAME_TOKENS = 64
"""Of each document but the first, which `PROMPT_TOKENS` is enough for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentWish:
    """Documents that were read, and what the user said about them."""

    documents: tuple[Document, ...]
    n_reserved: int | None = None
    """Tokens for thinking and answer; None leaves it to the model's size."""
    n_first: int | None = None
    """Tokens of the documents that are attached, from the first one on; None is all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedDocument:
    """A document as it is attached, and how many tokens it is."""

    document: Document
    count: Count

    def to_json(self) -> dict[str, Any]:
        """For the plan's document."""
        document = self.document
        return {
            "name": document.name,
            "format": document.format.value,
            "n_pages": document.n_pages,
            "n_chars": len(document.text),
            "n_tokens": [self.count.lowest, self.count.highest],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """Documents for one model."""

    documents: tuple[CountedDocument, ...]
    count: Count
    need: DocumentNeed
    notices: tuple[str, ...]

    @property
    def text(self) -> str:
        """What goes before the first question."""
        return framed([(item.document.name, item.document.text) for item in self.documents])

    @property
    def name(self) -> str:
        """What was attached, in a word or two."""
        names = [item.document.name for item in self.documents]
        return names[0] if len(names) == 1 else f"{len(names)} documents"

    def headline(self, plan: MemoryPlan, cost: DocumentCost) -> str:
        """What it costs, in one line."""
        return headline(self.name, self.count.lowest, plan, cost)

    def lines(self, plan: MemoryPlan, cost: DocumentCost) -> list[str]:
        """What it costs, document by document."""
        items = [f"  {_line(item)}" for item in self.documents]
        return [self.headline(plan, cost), f"  {context_line(plan, cost)}", *items]

    def to_json(self, cost: DocumentCost) -> dict[str, Any]:
        """The object `document` of a plan."""
        return {
            "documents": [item.to_json() for item in self.documents],
            "n_tokens_range": [self.count.lowest, self.count.highest],
            "is_estimate": self.count.is_estimate,
            **cost.to_json(),
        }


def attach(
    wish: DocumentWish, card: ModelCard, tokenizer: Path | None, *, question: str = ""
) -> Attachment:
    """The documents, counted for a model.

    `tokenizer` is its GGUF or the directory of its checkpoint; without one tokens are estimated,
    and the plan is made for the most that is likely. `question` is what else will be in the prompt.
    Raises: UsageError if the user wants so few tokens that nothing is left.
    """
    with TokenCounter(tokenizer) as counter:
        counted, notices = _counted(wish, counter)
        n_question = counter.count(question).highest if question else 0
        if not counted:
            raise UsageError(f"not a word of the documents is within {wish.n_first} tokens")
        if counter.why_estimated:
            notices.append(f"tokens of documents are estimated: {counter.why_estimated}")
    count = sum((item.count for item in counted), Count.exact(0))
    need = DocumentNeed(
        n_document=count.highest,
        n_prompt=PROMPT_TOKENS + n_question + _FRAME_TOKENS * (len(counted) - 1),
        n_reserved=reserved_tokens(card) if wish.n_reserved is None else wish.n_reserved,
    )
    return Attachment(documents=tuple(counted), count=count, need=need, notices=tuple(notices))


def plan_attached(
    attachment: Attachment, card: ModelCard, request: PlanRequest, planned: Planned
) -> tuple[MemoryPlan, DocumentCost]:
    """The plan for the context that the documents need. Raises: as `make_plan`."""
    return plan_document(card, request, attachment.need, planned, smaller_siblings(card))


def plan_conversation(
    attachment: Attachment, card: ModelCard, request: PlanRequest, planned: Planned
) -> tuple[MemoryPlan, DocumentCost]:
    """The plan for a conversation that begins with the documents.

    Its context is the usual one where that is longer than they need. Raises: as `make_plan`.
    """
    if request.n_ctx is None:
        usual = planned(card, request, with_fixes=False)
        if usual.verdict is not Verdict.DOES_NOT_FIT and usual.n_ctx > attachment.need.n_ctx:
            request = replace(request, n_ctx=usual.n_ctx)
    return plan_attached(attachment, card, request, planned)


def require_room(attachment: Attachment, plan: MemoryPlan, cost: DocumentCost) -> None:
    """Raises: DoesNotFitError with what would help, if the documents do not fit."""
    if cost.obstacle is not None:
        message = attachment.headline(plan, cost).removesuffix(f": {offer(cost)}")
        hint = f"{offer(cost)}; --load-anyway loads it all the same"
        raise DoesNotFitError(message, hint=hint)


def _counted(wish: DocumentWish, counter: TokenCounter) -> tuple[list[CountedDocument], list[str]]:
    """The documents with their tokens, cut where the user said, and what there is to tell."""
    counted: list[CountedDocument] = []
    notices = [notice for document in wish.documents for notice in document.notices]
    n_left = wish.n_first
    for document in wish.documents:
        part = document
        if n_left is not None:
            part = replace(document, text=counter.first(document.text, n_left))
        if not part.text.strip():
            notices.append(f"{document.name}: nothing of it is attached")
            continue
        if len(part.text) < len(document.text):
            share = len(part.text) / len(document.text)
            notices.append(f"{document.name}: the first {share:.0%} of it is attached")
        count = counter.count(part.text)
        counted.append(CountedDocument(document=part, count=count))
        n_left = None if n_left is None else max(n_left - count.highest, 0)
    return counted, notices


def _line(item: CountedDocument) -> str:
    document, count = item.document, item.count
    n_pages = document.n_pages
    pages = "" if n_pages is None else f", {n_pages} page{'' if n_pages == 1 else 's'}"
    tokens = format_count(count.highest)
    if count.is_estimate:
        tokens = f"{format_count(count.lowest)} to {tokens}"
    kind = f"{document.format.value}{pages}"
    return f"{document.name}: {kind}, {len(document.text):,} characters, {tokens} tokens"
