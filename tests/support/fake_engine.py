"""An engine from a script: for everything that needs replies but no model.

    engine = FakeEngine([Script.of("<think>", "8 * 3", "</think>", "24")])
    session = ChatSession(FakeOpener(engine), renderer=InlineRenderer())

Each request plays the next script: the prompt is read in two steps, then come the tokens, then the
end. A script may also die, refuse, overflow or wait at a gate. `cancel` ends a reply before its
next token, as the real engine does. What was asked is kept in `requests`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from localr1.chat.session import OpenedModel
from localr1.errors import EngineDiedError, LocalR1Error
from localr1.events import Event, Load, Notice, Progress
from localr1.worker.frames import (
    GenerateRequest,
    GenerationEnd,
    GenerationFrame,
    LoadReport,
    PrefillProgress,
    StopReason,
    TokenPiece,
)
from tests.support.fake_conversation import Gate

SPECIAL_TOKENS = {
    "<|begin|>": 1,
    "<|end|>": 2,
    "<|user|>": 3,
    "<|assistant|>": 4,
    "<think>": 5,
    "</think>": 6,
}
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{% set text = m['content'] %}"
    "{% if m['role'] == 'assistant' and '</think>' in text %}"
    "{% set text = text.split('</think>')[-1] %}{% endif %}"
    "<|{{ m['role'] }}|>{{ text }}{% if m['role'] == 'assistant' %}{{ eos_token }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|><think>\n{% endif %}"
)
"""A template in the shape of DeepSeek-R1's: it opens the thought, and drops old ones."""


def a_report(
    special_tokens: Mapping[str, int] = SPECIAL_TOKENS, *, adds_bos: bool = True
) -> LoadReport:
    """What the engine says about the fake model."""
    return LoadReport(
        n_ctx=4096,
        n_vocab=1000,
        buffers=(),
        resident_bytes=10**9,
        bos_text="<|begin|>",
        eos_text="<|end|>",
        adds_bos=adds_bos,
        special_tokens=dict(special_tokens),
        seconds=0.5,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """One reply. Strings are tokens; those that spell a special token get its id."""

    tokens: tuple[str | Gate, ...] = ()
    reason: StopReason = "eog"
    error: LocalR1Error | None = None
    """Raised after the tokens instead of an end."""
    n_prompt: int = 10
    n_cached: int = 0
    held: str = ""
    """What is left of an incomplete character at the end."""
    prefill_gate: Gate | None = None
    """Holds the stream when half of the prompt has been read."""

    @classmethod
    def of(cls, *tokens: str | Gate) -> Script:
        """A reply that ends by itself."""
        return cls(tokens=tokens)


@dataclass
class FakeEngine:
    """Plays scripts, one per request, the last one for ever. `EngineLike`."""

    scripts: Sequence[Script]
    special_tokens: Mapping[str, int] = field(default_factory=lambda: SPECIAL_TOKENS)
    requests: list[GenerateRequest] = field(default_factory=list)
    n_cancels: int = 0
    n_abandoned: int = 0
    """Replies that were closed before their end."""
    is_closed: bool = False

    def __post_init__(self) -> None:
        self._cancelled = threading.Event()
        self._gate: Gate | None = None
        self._tell: Callable[[EngineDiedError], None] = lambda _error: None

    @property
    def is_alive(self) -> bool:
        return not self.is_closed

    @property
    def prompts(self) -> list[str]:
        """The text of every prompt, segments joined."""
        return ["".join(s.text for s in request.segments) for request in self.requests]

    def generate(self, wanted: GenerateRequest, /) -> Iterator[GenerationFrame]:
        self.requests.append(wanted)
        self._cancelled.clear()
        try:
            yield from self._play(wanted)
        except GeneratorExit:
            self.n_abandoned += 1
            raise

    def _play(self, wanted: GenerateRequest) -> Iterator[GenerationFrame]:
        script = self.scripts[min(len(self.requests), len(self.scripts)) - 1]
        n_done = script.n_cached
        for n_done in (script.n_cached, (script.n_cached + script.n_prompt) // 2, script.n_prompt):
            if self._cancelled.is_set():
                break
            yield PrefillProgress(n_done=n_done, n_total=script.n_prompt, n_cached=script.n_cached)
            if script.prefill_gate is not None and script.n_cached < n_done < script.n_prompt:
                self._wait_at(script.prefill_gate)
        yield from self._tokens(script, wanted.max_tokens)

    def _tokens(self, script: Script, max_tokens: int | None) -> Iterator[GenerationFrame]:
        reason: StopReason = script.reason
        n_generated = 0
        for item in script.tokens:
            if isinstance(item, Gate):
                self._wait_at(item)
                continue
            if self._cancelled.is_set() or n_generated == max_tokens:
                break
            n_generated += 1
            token_id = self.special_tokens.get(item, 100 + n_generated)
            yield TokenPiece(id=token_id, text=item, at_s=0.1 * (n_generated - 1))
        else:
            if script.error is not None:
                raise script.error
        if n_generated == max_tokens:
            reason = "length"
        if self._cancelled.is_set():
            reason = "cancelled"
        yield GenerationEnd(
            reason=reason,
            text=script.held,
            n_prompt=script.n_prompt,
            n_cached=script.n_cached,
            n_generated=n_generated,
            prefill_s=0.5,
            decode_s=0.1 * n_generated,
            n_ctx_used=script.n_prompt + n_generated,
            resident_bytes=10**9,
        )

    def cancel(self) -> None:
        self.n_cancels += 1
        self._cancelled.set()
        if self._gate is not None:
            self._gate.open()

    def when_ended(self, tell: Callable[[EngineDiedError], None], /) -> None:
        self._tell = tell

    def end(self, message: str) -> None:
        """Die without being asked."""
        self.is_closed = True
        self._tell(EngineDiedError(message))

    def close(self) -> None:
        self.is_closed = True

    def _wait_at(self, gate: Gate) -> None:
        self._gate = gate
        gate.reached.set()
        gate.opened.wait(timeout=30)
        self._gate = None


class FakeOpener:
    """Opens the given engines in turn, the last one again; counts how often it was called."""

    def __init__(
        self,
        *engines: FakeEngine,
        template: str | None = TEMPLATE,
        report: LoadReport | None = None,
        sampling_defaults: Mapping[str, float] | None = None,
        error: Exception | None = None,
        gate: Gate | None = None,
        watch: Callable[[GenerationFrame], Sequence[Notice]] = lambda _frame: (),
    ) -> None:
        self.n_calls = 0
        self.is_abandoned = False
        self._engines = engines
        self._template = template
        self._report = report or a_report()
        self._sampling_defaults = sampling_defaults or {}
        self._error = error
        self._gate = gate
        self._watch = watch

    def __call__(self) -> Generator[Event, None, OpenedModel]:
        self.n_calls += 1
        try:
            yield Progress(stage="load", done=1, total=2)
            if self._gate is not None:
                self._gate.reached.set()
                self._gate.opened.wait(timeout=30)
            yield Progress(stage="load", done=2, total=2)
        except GeneratorExit:
            self.is_abandoned = True
            raise
        if self._error is not None:
            raise self._error
        return OpenedModel(
            engine=self._engines[min(self.n_calls, len(self._engines)) - 1],
            report=self._report,
            chat_template=self._template,
            sampling_defaults=self._sampling_defaults,
            load_event=Load(
                model="fake", n_ctx=4096, devices=(), plan={}, measured={}, seconds=0.5
            ),
            title="fake-1b",
            watch=self._watch,
        )
