"""Owns how models frame their thinking, and which frame a prompt asks for.

`FORMATS` is what is known from models in the wild. Which row applies, and whether a reply starts
inside the thought, is read from the template, the rendered prompt and the vocabulary; the model's
name is never consulted. A model without any of these thinks in no format, and answers plainly.
"""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass
from typing import Literal

HistoryMode = Literal["separate", "inline", "answer"]
_TAIL = 256  # characters; more than any opening of a turn takes


@dataclass(frozen=True, slots=True)
class ThinkingFormat:
    """A pair of tags around the thought, and sometimes a frame around the answer."""

    open_tag: str
    close_tag: str
    answer_frame: tuple[str, str] | None = None
    evidence: tuple[str, ...] = ()
    """Any of these in a template says that this format is used; empty means either tag."""

    @property
    def signs(self) -> tuple[str, ...]:
        """What to look for in a template."""
        return self.evidence or (self.open_tag.strip(), self.close_tag.strip())


HARMONY = ThinkingFormat(
    "<|channel|>analysis<|message|>",
    "<|end|><|start|>assistant<|channel|>final<|message|>",
    evidence=("<|channel|>analysis<|message|>",),
)
"""gpt-oss. A pair of tags is only the simplest case: see `localr1.chat.harmony`."""

# The more telling a row's signs, the earlier it stands.
FORMATS = (
    HARMONY,
    ThinkingFormat("<|channel>thought\n", "<channel|>"),  # Gemma 4
    ThinkingFormat("[THINK]", "[/THINK]"),  # Magistral, Ministral, Devstral
    ThinkingFormat("<seed:think>", "</seed:think>"),  # Seed-OSS
    ThinkingFormat("<mm:think>", "</mm:think>"),  # MiniMax-M3
    ThinkingFormat("<think:opensource>", "</think:opensource>"),  # Hunyuan Hy3
    ThinkingFormat(
        "<|START_THINKING|>",
        "<|END_THINKING|>",
        answer_frame=("<|START_TEXT|>", "<|END_TEXT|>"),
        evidence=("<|START_TEXT|>",),
    ),  # Command A
    ThinkingFormat(
        "<|START_THINKING|>", "<|END_THINKING|>", ("<|START_RESPONSE|>", "<|END_RESPONSE|>")
    ),  # Command R7B
    ThinkingFormat(
        "<|open|>think<|sep|>",
        "<|close|>think<|sep|>",
        answer_frame=("<|open|>response<|sep|>", "<|close|>response<|sep|>"),
    ),  # Kimi-K3
    ThinkingFormat("◁think▷", "◁/think▷"),  # Kimi-VL
    ThinkingFormat("<|inner_prefix|>", "<|inner_suffix|>"),  # Apertus
    ThinkingFormat(
        "<|begin_of_thought|>",
        "<|end_of_thought|>",
        answer_frame=("<|begin_of_solution|>", "<|end_of_solution|>"),
    ),  # Sky-T1 and its kin
    ThinkingFormat("Here are my reasoning steps:\n", "[BEGIN FINAL RESPONSE]"),  # Apriel 1.6
    ThinkingFormat("Here is my thought process:", "Here is my response:"),  # Granite 3.2
    ThinkingFormat(
        "<think>",
        "</think>",
        answer_frame=("<response>", "</response>"),
        evidence=("<response></response>",),
    ),  # Granite 3.3
    ThinkingFormat("<think>", "</think>"),  # DeepSeek-R1, QwQ, Qwen3, GLM, Nemotron and most others
    ThinkingFormat("<thinking>", "</thinking>", evidence=("</thinking>",)),
    ThinkingFormat("<reasoning>", "</reasoning>", evidence=("</reasoning>",)),
    ThinkingFormat("<thought>", "</thought>", evidence=("</thought>",)),
)

CONTROL_TEXTS = frozenset(
    tag for known in FORMATS for tag in (known.open_tag.strip(), known.close_tag.strip())
)
"""Texts that mean something to us in a rendered prompt; a user must not be able to forge them."""


def detect_format(
    template: str, prompt: str, special_tokens: Container[str]
) -> ThinkingFormat | None:
    """The format a model thinks in, or None.

    The template decides, or the end of the rendered prompt (templates that put their tags
    together); when neither names a tag, a vocabulary that has both tags as tokens does.
    """
    text = template + prompt[-_TAIL:]
    named = (known for known in FORMATS if any(sign in text for sign in known.signs))
    spelled = (
        known
        for known in FORMATS
        if known.open_tag in special_tokens and known.close_tag in special_tokens
    )
    return next(named, None) or next(spelled, None)


def starts_in_thinking(prompt: str, known: ThinkingFormat | None) -> bool:
    """True when the prompt has opened the thought, so that the reply only closes it."""
    return known is not None and prompt.rstrip().endswith(known.open_tag.rstrip())


def history_mode(template: str, known: ThinkingFormat | None) -> HistoryMode:
    """How the thought of an earlier reply is handed to the template.

    "separate": as `reasoning_content`, which the template knows. "inline": in its tags, because
    the template looks for the closing tag and cuts there. "answer": not at all; a template that
    knows neither would keep the old thought, and it would fill the context.
    """
    if "reasoning_content" in template:
        return "separate"
    if known is not None and re.search(rf"(['\"]){re.escape(known.close_tag)}\1", template):
        return "inline"
    return "answer"
