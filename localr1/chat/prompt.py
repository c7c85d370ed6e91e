"""Owns what the model is given to read: the conversation through its template, safe from forgery.

The engine adds BOS when the model wants one and the prompt does not begin with it, so nothing is
added here: a template that writes `bos_token` and one that does not both end up with exactly one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from localr1.chat.builtin_templates import PLAIN, family_template, merge_system
from localr1.chat.forgery import Spellings, choose_marks, cut_at_marks
from localr1.chat.template import RenderRequest, TemplateRaisedError, TemplateRenderer
from localr1.chat.thinking_format import (
    CONTROL_TEXTS,
    HistoryMode,
    ThinkingFormat,
    detect_format,
    history_mode,
    starts_in_thinking,
)
from localr1.errors import TemplateRefusedError
from localr1.events import Notice
from localr1.worker.frames import LoadReport, Segment


@dataclass(frozen=True, slots=True)
class Exchange:
    """One finished turn: what was asked, and the two streams of the reply."""

    user: str
    thinking: str
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltPrompt:
    """A prompt, and what it says about the reply to it."""

    segments: tuple[Segment, ...]
    format: ThinkingFormat | None
    starts_in_thinking: bool
    stops: tuple[str, ...] = ()
    """Texts that end the reply where the vocabulary has no token for it."""
    notices: tuple[Notice, ...] = ()


class PromptBuilder:
    """Builds the prompts of one loaded model."""

    def __init__(
        self,
        template: str | None,
        report: LoadReport,
        renderer: TemplateRenderer,
        *,
        thinks: bool,
        now: Callable[[], datetime],
    ) -> None:
        self._template = template
        self._report = report
        self._renderer = renderer
        self._now = now
        # the names that Qwen and its kin, DeepSeek and Granite, and Command use
        self._switches = dict.fromkeys(("enable_thinking", "thinking", "reasoning"), thinks)
        self._spellings = Spellings([*report.special_tokens, *CONTROL_TEXTS])
        self._notices: list[Notice] = []
        self._builtin = PLAIN if template is None else family_template(report.special_tokens)
        if template is None:
            self._note_fallback("template_missing", "the model file has no chat template")

    def build(self, system: str, history: Sequence[Exchange], text: str) -> BuiltPrompt:
        """The prompt for the next reply; without a usable template, in a built-in format."""
        special_tokens = self._report.special_tokens
        spoken = [part for turn in history for part in (turn.user, turn.thinking, turn.answer)]
        marks = choose_marks([self._template or "", *special_tokens, system, text, *spoken])

        def mark(content: str) -> str:
            return self._spellings.mark(content, marks)

        turns = [Exchange(mark(t.user), mark(t.thinking), mark(t.answer)) for t in history]
        prompt, stops = self._render(mark(system), turns, mark(text))
        known = detect_format(self._template or "", prompt, special_tokens)
        notices, self._notices = tuple(self._notices), []
        return BuiltPrompt(
            segments=cut_at_marks(prompt, marks),
            format=known,
            starts_in_thinking=starts_in_thinking(prompt, known),
            stops=stops,
            notices=notices,
        )

    def _render(
        self, system: str, turns: Sequence[Exchange], text: str
    ) -> tuple[str, tuple[str, ...]]:
        """The prompt text, and the stop strings it needs."""
        if self._template is not None:
            messages = self._messages(self._template, system, turns, text)
            try:
                return self._render_template(self._template, messages), ()
            except TemplateRefusedError as exc:
                self._note_fallback(exc.code, exc.message)
                if not isinstance(exc, TemplateRaisedError):
                    # it would fail, or take its seconds, again at every turn
                    self._template = None
        messages = self._messages("", system, turns, text)
        return self._builtin.render(messages), self._builtin.stops

    def _messages(
        self, template: str, system: str, turns: Sequence[Exchange], text: str
    ) -> list[dict[str, str]]:
        known = detect_format(template, "", self._report.special_tokens)
        mode = history_mode(template, known)
        messages = [{"role": "system", "content": system}] if system else []
        for turn in turns:
            messages.append({"role": "user", "content": turn.user})
            messages.append(_past_reply(turn, mode, known))
        return [*messages, {"role": "user", "content": text}]

    def _render_template(self, template: str, messages: Sequence[dict[str, str]]) -> str:
        """The prompt by the model's template; one without a system role gets it another way."""
        request = RenderRequest(
            template=template,
            messages=tuple(messages),
            bos_token=self._report.bos_text,
            eos_token=self._report.eos_text,
            now=self._now().isoformat(),
            switches=self._switches,
        )
        try:
            return self._renderer.render(request)
        except TemplateRaisedError as exc:
            if messages[0]["role"] != "system":
                raise
            merged = dataclasses.replace(request, messages=tuple(merge_system(messages)))
            prompt = self._renderer.render(merged)
            reason = f"{exc.message}; the system prompt went into the first message"
            self._notices.append(Notice(code="system_merged", message=reason))
            return prompt

    def _note_fallback(self, code: str, reason: str) -> None:
        message = f"{reason}; using the built-in {self._builtin.name} format"
        self._notices.append(Notice(code=code, message=message))


def _past_reply(turn: Exchange, mode: HistoryMode, known: ThinkingFormat | None) -> dict[str, str]:
    """An earlier reply as the template wants it; newlines around the tags are not its text."""
    if mode == "inline" and known is not None and turn.thinking:
        content = known.open_tag + turn.thinking + known.close_tag + turn.answer
        return {"role": "assistant", "content": content}
    message = {"role": "assistant", "content": turn.answer.strip("\r\n")}
    if mode == "separate" and turn.thinking.strip():
        message["reasoning_content"] = turn.thinking.strip("\r\n")
    return message
