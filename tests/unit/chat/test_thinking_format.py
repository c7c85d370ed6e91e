"""Which thinking format a model uses, as its template, prompt and vocabulary say."""

from __future__ import annotations

import pytest

from localr1.chat.thinking_format import (
    FORMATS,
    HARMONY,
    detect_format,
    history_mode,
    starts_in_thinking,
)
from tests.support import templates


@pytest.mark.parametrize(
    ("template", "open_tag"),
    [
        (templates.R1_DISTILL, "<think>"),
        (templates.QWEN3, "<think>"),
        (templates.QWQ, "<think>"),
        ("{{ '[THINK]' + block['thinking'] + '[/THINK]' }}", "[THINK]"),
        ("{%- set think_end_token = '</seed:think>' -%}", "<seed:think>"),
        ("{%- set think_begin_token = '<mm:think>' -%} ... <think>", "<mm:think>"),
        ("'<|channel>thought\\n' ... .split('<channel|>')", "<|channel>thought\n"),
        ("<|START_THINKING|><|END_THINKING|><|START_RESPONSE|>", "<|START_THINKING|>"),
        ("'<|start|>assistant<|channel|>analysis<|message|>'", HARMONY.open_tag),
        ("Here are my reasoning steps:\\n", "Here are my reasoning steps:\n"),
        ("between <think></think> and write between <response></response>", "<think>"),
    ],
)
def test_template_names_its_format(template: str, open_tag: str) -> None:
    found = detect_format(template, "", {})

    assert found is not None
    assert found.open_tag == open_tag


@pytest.mark.parametrize("template", [templates.CHATML, templates.GEMMA, ""])
def test_plain_template_has_none(template: str) -> None:
    assert detect_format(template, "<|im_start|>assistant\n", {"<|im_start|>": 1}) is None


def test_end_of_the_prompt_names_a_format_that_the_template_puts_together() -> None:
    found = detect_format("{{ '<|open|>' + tag }}", "...<|open|>think<|sep|>", {})

    assert found is not None
    assert found.open_tag == "<|open|>think<|sep|>"


def test_vocabulary_decides_only_when_the_template_is_silent() -> None:
    vocabulary = {"<think>": 1, "</think>": 2, "[THINK]": 3, "[/THINK]": 4}

    silent = detect_format(templates.CHATML, "", {"<think>": 1, "</think>": 2})
    named = detect_format("[/THINK]", "", vocabulary)

    assert silent is not None
    assert silent.open_tag == "<think>"
    assert named is not None
    assert named.open_tag == "[THINK]"
    assert detect_format(templates.CHATML, "", {"<think>": 1}) is None


@pytest.mark.parametrize(
    ("prompt", "is_open"),
    [
        ("<｜Assistant｜><think>\n", True),
        ("<｜Assistant｜><think>", True),
        ("<｜Assistant｜>", False),
        ("<|im_start|>assistant\n<think>\n\n</think>\n\n", False),
        ("<｜Assistant｜></think>", False),
        ("use <think> to think<｜Assistant｜>", False),
    ],
)
def test_reply_starts_in_thinking_when_the_prompt_ends_with_the_opening_tag(
    prompt: str, is_open: bool
) -> None:
    known = detect_format("</think>", "", {})

    assert starts_in_thinking(prompt, known) is is_open


def test_tag_that_ends_with_a_newline_is_recognised_at_the_end_of_a_prompt() -> None:
    known = detect_format("[BEGIN FINAL RESPONSE]", "", {})

    assert starts_in_thinking("<|begin_assistant|>\nHere are my reasoning steps:\n", known)


def test_no_format_never_starts_in_thinking() -> None:
    assert not starts_in_thinking("<think>\n", None)


def test_old_thought_goes_where_the_template_looks_for_it() -> None:
    think = detect_format("</think>", "", {})

    assert history_mode(templates.QWEN3, think) == "separate"
    assert history_mode(templates.R1_DISTILL, think) == "inline"
    assert history_mode(templates.QWQ, think) == "inline"
    # mentioned only where the prompt is opened: it would not be cut off, so it is left out
    assert history_mode("{{ '<think>\\n\\n</think>\\n' }}", think) == "answer"
    assert history_mode(templates.CHATML, None) == "answer"


@pytest.mark.parametrize("known", FORMATS, ids=lambda known: known.open_tag.strip())
def test_tags_of_every_known_format_can_be_split(known: object) -> None:
    from localr1.chat.splitters import make_splitter
    from localr1.chat.thinking_format import ThinkingFormat

    assert isinstance(known, ThinkingFormat)
    splitter = make_splitter(known, {}, starts_in_thinking=False)
    reply = f"{known.open_tag}oak{known.close_tag}elm"

    pieces = [piece for letter in reply for piece in splitter.feed(0, letter)] + splitter.finish()

    assert "".join(text for stream, text in pieces if stream == "thinking") == "oak"
    assert "".join(text for stream, text in pieces if stream == "answer") == "elm"
