"""A conversation from a script: for skins, which must not need a model to be tested.

    talk = FakeConversation([reply(thinking="8 * 3 = 24", answer="36")])
    talk.open(); talk.ask("What is 12 + 8 * 3?")

A script is a list of turns, a turn a list of events or `Gate`s. A gate holds the stream until the
test opens it (or `stop` comes), so that a test can look at a screen in the middle of a reply
without sleeping. `stop` ends the running reply as the real session does: `cut_off` inside
thinking, `cancelled` in the answer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from localr1.events import (
    Answer,
    End,
    EndState,
    Error,
    Event,
    Load,
    Phase,
    PhaseName,
    Progress,
    Prompt,
    Stats,
    Thinking,
)


@dataclass(eq=False)
class Gate:
    """A point in a script where the stream waits; `reached` tells the test that it does."""

    opened: threading.Event = field(default_factory=threading.Event)
    reached: threading.Event = field(default_factory=threading.Event)

    def open(self) -> None:
        """Let the stream go on."""
        self.opened.set()


Turn = Sequence[Event | Gate]

LOADED = (
    Progress(stage="load", done=1, total=2),
    Progress(stage="load", done=2, total=2),
    Load(
        model="fake-1b",
        n_ctx=4096,
        devices=({"name": "CPU", "kind": "cpu"},),
        plan={},
        measured={},
        seconds=0.5,
    ),
)


def reply(
    *,
    thinking: str = "",
    answer: str = "",
    n_prompt: int = 10,
    n_cached: int = 0,
    state: EndState | None = None,
    gate_before_answer: Gate | None = None,
) -> list[Event | Gate]:
    """The events of one good reply, word by word, with plausible statistics."""
    events: list[Event | Gate] = [
        Progress(stage="prompt", done=n_cached, total=n_prompt, unit="tokens"),
        Progress(stage="prompt", done=n_prompt, total=n_prompt, unit="tokens"),
        Prompt(n_tokens=n_prompt, n_cached=n_cached),
    ]
    if thinking:
        words = _words(thinking)
        events += [Phase(phase=PhaseName.THINKING), *(Thinking(text=word) for word in words)]
        events.append(_stats(PhaseName.THINKING, len(words)))
    if gate_before_answer is not None:
        events.append(gate_before_answer)
    if answer:
        words = _words(answer)
        events += [Phase(phase=PhaseName.ANSWER), *(Answer(text=word) for word in words)]
        events.append(_stats(PhaseName.ANSWER, len(words)))
    if state is None:
        state = EndState.ANSWERED if thinking else EndState.NEVER_OPENED
    return [*events, End(state=state, reason="eog")]


def failure(
    code: str = "engine_died",
    message: str = "the engine was killed by SIGKILL",
    hint: str = "ask again: the engine is started anew",
) -> list[Event | Gate]:
    """The two events that end a turn when something breaks."""
    return [
        Error(code=code, message=message, hint=hint),
        End(state=EndState.FAILED, reason="error"),
    ]


class FakeConversation:
    """Plays `turns`, one per `ask`, and remembers what was asked of it. `Conversation`."""

    def __init__(
        self,
        turns: Sequence[Turn] = (),
        *,
        opening: Turn = LOADED,
        title: str = "fake-1b",
    ) -> None:
        self.title = title
        self.asked: list[str] = []
        self.n_opened = 0
        self.n_stops = 0
        self.n_clears = 0
        self.is_closed = False
        self.tell: Callable[[Event], None] = lambda _event: None
        self._turns = [list(turn) for turn in turns]
        self._opening = opening
        self._gate: Gate | None = None
        self._stopped = threading.Event()

    def open(self) -> Iterator[Event]:
        """The opening script."""
        self.n_opened += 1
        yield from self._play(self._opening)

    def ask(self, text: str) -> Iterator[Event]:
        """The next turn of the script; the last one again when the script is over."""
        self.asked.append(text)
        self._stopped.clear()
        turn = self._turns[min(len(self.asked), len(self._turns)) - 1] if self._turns else reply()
        yield from self._play(turn)

    def stop(self) -> None:
        """End the running turn, also while it waits at a gate."""
        self.n_stops += 1
        self._stopped.set()
        gate = self._gate
        if gate is not None:
            gate.open()

    def listen(self, tell: Callable[[Event], None]) -> None:
        """Keep it, for the test to call."""
        self.tell = tell

    def clear(self) -> None:
        """Count it."""
        self.n_clears += 1

    def close(self) -> None:
        """End a running turn and remember that it was closed."""
        self.is_closed = True
        self.stop()

    def _play(self, script: Turn) -> Iterator[Event]:
        phase: PhaseName | None = None
        for item in script:
            if isinstance(item, Gate):
                self._wait_at(item)
            if self._stopped.is_set():
                thinking = phase is PhaseName.THINKING
                state = EndState.CUT_OFF if thinking else EndState.CANCELLED
                yield End(state=state, reason="cancelled")
                return
            if isinstance(item, Phase):
                phase = item.phase
            if isinstance(item, Event):
                yield item

    def _wait_at(self, gate: Gate) -> None:
        self._gate = gate
        gate.reached.set()
        if not self._stopped.is_set():
            gate.opened.wait(timeout=30)  # the test's own time limit is the real one
        self._gate = None


def _words(text: str) -> list[str]:
    """Words with the blank before them, as tokens come."""
    words = text.split(" ")
    return [words[0], *(f" {word}" for word in words[1:])]


def _stats(phase: PhaseName, n_tokens: int) -> Stats:
    seconds = n_tokens / 20
    return Stats(
        phase=phase,
        n_tokens=n_tokens,
        seconds=seconds,
        tokens_per_s=20.0,
        time_to_first_token_s=0.25,
        n_ctx_used=10 + n_tokens,
        memory_bytes=1_500_000_000,
    )
