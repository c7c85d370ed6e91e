"""Documents counted and planned for, on machines that are not here."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from localr1.attach import Attachment, DocumentWish, attach, plan_conversation, require_room
from localr1.documents.document import Document, Format
from localr1.errors import DoesNotFitError, UsageError
from localr1.hardware.machine import Wish, build_machine
from localr1.model_facts.card import ModelCard
from localr1.plan.document_cost import DocumentCost, Obstacle
from localr1.plan.memory_plan import MemoryPlan
from localr1.plan.planner import make_plan
from localr1.plan.request import PlanRequest
from quant.gguf.header import read_header

_GIB = 1024**3
_SHORT = Document(name="short.txt", format=Format.TEXT, text="12 + 8 = 20\n" * 20)
_LONG = Document(name="long.txt", format=Format.TEXT, text="12 + 8 = 20\n" * 2000)


@pytest.fixture(scope="module")
def card(r1_nano: Path) -> ModelCard:
    return ModelCard.from_header(read_header(r1_nano))


def planned_here(
    attachment: Attachment, card: ModelCard, request: PlanRequest | None = None
) -> tuple[MemoryPlan, DocumentCost]:
    here = build_machine(Wish(ram_bytes=16 * _GIB))
    planned = partial(make_plan, devices=here.devices, host=here.host, known=here.known)
    return plan_conversation(attachment, card, request or PlanRequest(), planned)


def test_the_need_is_made_of_documents_question_and_reserve(card: ModelCard, r1_nano: Path) -> None:
    wish = DocumentWish(documents=(_SHORT,), n_reserved=100)

    alone = attach(wish, card, r1_nano)
    asked = attach(wish, card, r1_nano, question="What is it about? " * 10)

    assert not alone.count.is_estimate
    assert (alone.need.n_prompt, alone.need.n_reserved) == (256, 100)
    assert asked.need.n_document == alone.need.n_document == alone.count.highest
    assert asked.need.n_prompt > alone.need.n_prompt


def test_only_the_first_tokens_are_attached_and_that_is_told(
    card: ModelCard, r1_nano: Path
) -> None:
    wish = DocumentWish(documents=(_LONG, _SHORT), n_first=500)

    attachment = attach(wish, card, r1_nano)

    (counted,) = attachment.documents
    assert 490 <= counted.count.highest <= 500
    assert _LONG.text.startswith(counted.document.text)
    assert attachment.notices[0].startswith("long.txt: the first ")
    assert attachment.text.count("[document ") == 1


def test_so_few_tokens_that_nothing_is_left_make_no_sense(card: ModelCard) -> None:
    letters = Document(name="a.txt", format=Format.TEXT, text="人" * 9)

    with pytest.raises(UsageError, match="not a word"):
        attach(DocumentWish(documents=(letters,), n_first=1), card, None)


def test_without_a_tokenizer_the_plan_says_that_it_is_estimated(card: ModelCard) -> None:
    attachment = attach(DocumentWish(documents=(_SHORT,)), card, None)

    assert attachment.count.is_estimate
    assert attachment.need.n_document == attachment.count.highest
    assert attachment.notices == (
        "tokens of documents are estimated: the model's tokenizer is not here",
    )


def test_a_short_document_does_not_shorten_the_usual_context(card: ModelCard) -> None:
    attachment = attach(DocumentWish(documents=(_SHORT,)), card, None)

    plan, cost = planned_here(attachment, card)

    assert plan.n_ctx == card.n_ctx_train
    assert plan.n_ctx > attachment.need.n_ctx
    assert cost.obstacle is None
    require_room(attachment, plan, cost)


def test_a_long_document_gets_the_context_it_needs(card: ModelCard) -> None:
    patient = replace(card, n_ctx_train=131_072)
    attachment = attach(DocumentWish(documents=(_LONG,)), patient, None)

    plan, cost = planned_here(attachment, patient)

    assert plan.n_ctx == attachment.need.n_ctx > 16_384
    assert cost.obstacle is None


def test_what_does_not_fit_is_an_error_with_ways_out_and_the_override(
    card: ModelCard, r1_nano: Path
) -> None:
    attachment = attach(DocumentWish(documents=(_LONG,)), card, r1_nano)
    plan, cost = planned_here(attachment, card)

    with pytest.raises(DoesNotFitError) as error:
        require_room(attachment, plan, cost)

    assert cost.obstacle is Obstacle.TRAINING
    assert error.value.exit_code == 4
    assert error.value.message.startswith("long.txt: ")
    assert error.value.hint.startswith("use --document-tokens ")
    assert "--load-anyway" in error.value.hint
