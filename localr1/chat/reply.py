"""Owns how one reply of the engine becomes events: phases, texts, counts, times, and how it ended.

Text leaves through `safe_text`; what goes into the history stays as the model wrote it. Blanks
that a model writes before it opens its thought belong to the answer and wait for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from localr1.chat.reasoning import Piece
from localr1.chat.splitters import PieceSplitter
from localr1.chat.stop import StopMatcher
from localr1.events import (
    Answer,
    End,
    EndState,
    Event,
    Phase,
    PhaseName,
    Progress,
    Prompt,
    Stats,
    Thinking,
)
from localr1.terminal_text import safe_text
from localr1.worker.frames import GenerationEnd, GenerationFrame, PrefillProgress, TokenPiece


class Reply:
    """Frames in, events out; events are not stamped with a time yet."""

    def __init__(
        self, splitter: PieceSplitter, stops: StopMatcher, clock: Callable[[], float]
    ) -> None:
        self._splitter = splitter
        self._stops = stops
        self._clock = clock
        self._texts: dict[PhaseName, list[str]] = {PhaseName.THINKING: [], PhaseName.ANSWER: []}
        self._n_tokens = dict.fromkeys(PhaseName, 0)
        self._n_unreported = 0
        self._phase: PhaseName | None = None
        self._blanks = ""
        self._started_s = self._read_s = clock()
        self._sampled_s = 0.0  # the engine's time: of the newest token, and when the phase began
        self._phase_s = 0.0
        self._first_token_s: float | None = None
        self._prefill: PrefillProgress | None = None
        self.is_over = False
        """The `end` has been given out."""

    @property
    def thinking(self) -> str:
        """The thought so far, as the model wrote it."""
        return "".join(self._texts[PhaseName.THINKING])

    @property
    def answer(self) -> str:
        """The answer so far, as the model wrote it."""
        return "".join(self._texts[PhaseName.ANSWER])

    @property
    def is_complete(self) -> bool:
        """A stop string came: what the engine still sends is not part of the reply."""
        return bool(self._stops.matched)

    def feed(self, frame: GenerationFrame) -> list[Event]:
        """The events of one frame; the last frame gives the `end`."""
        if isinstance(frame, PrefillProgress):
            return self._read_prompt(frame)
        if isinstance(frame, TokenPiece):
            return [] if self.is_complete else self._take_token(frame)
        return self._finish(frame)

    def abort(self) -> list[Event]:
        """What was held back and counted when the engine failed; the caller says how it ended."""
        if self._phase is None:
            return []
        return [*self._flush(), self._stats(self._phase)]

    def _read_prompt(self, progress: PrefillProgress) -> list[Event]:
        self._read_s = self._clock()
        self._prefill = progress
        done, total = progress.n_done, progress.n_total
        return [Progress(stage="prompt", done=done, total=total, unit="tokens")]

    def _take_token(self, token: TokenPiece) -> list[Event]:
        events = self._begin()
        self._sampled_s = token.at_s
        was_thinking = self._splitter.is_thinking
        pieces = self._splitter.feed(token.id, token.text)
        # the tokens of both tags count as thinking
        is_thought = was_thinking or self._splitter.is_thinking
        self._n_tokens[PhaseName.THINKING if is_thought else PhaseName.ANSWER] += 1
        self._n_unreported += 1
        return events + self._emit(pieces)

    def _begin(self) -> list[Event]:
        """The first token says that the prompt has been read."""
        if self._first_token_s is not None or self._prefill is None:
            return []
        self._first_token_s = self._clock()
        n_total, n_cached = self._prefill.n_total, self._prefill.n_cached
        self._n_tokens[PhaseName.PROMPT] = n_total - n_cached
        n_read, seconds = n_total - n_cached, self._read_s - self._started_s
        events: list[Event] = [
            Prompt(n_tokens=n_total, n_cached=n_cached),
            Stats(
                phase=PhaseName.PROMPT,
                n_tokens=n_read,
                seconds=seconds,
                tokens_per_s=_rate(n_read, seconds),
            ),
        ]
        return events + (self._enter(PhaseName.THINKING) if self._splitter.is_thinking else [])

    def _emit(self, pieces: list[Piece]) -> list[Event]:
        events: list[Event] = []
        for stream, text in pieces:
            if stream == "thinking":
                events += self._enter(PhaseName.THINKING)
                events += self._say(PhaseName.THINKING, text)
            elif self._phase is None and not text.strip():
                self._blanks += text
            else:
                events += self._enter(PhaseName.ANSWER)
                blanks, self._blanks = self._blanks, ""
                events += self._say(PhaseName.ANSWER, self._stops.feed(blanks + text))
        # a tag without text beside it moves on as well
        if self._splitter.is_thinking:
            events += self._enter(PhaseName.THINKING)
        elif self._splitter.closed:
            events += self._enter(PhaseName.ANSWER)
        return events

    def _enter(self, phase: PhaseName) -> list[Event]:
        if self._phase is phase:
            return []
        events: list[Event] = [] if self._phase is None else [self._stats(self._phase)]
        if self._phase is not None:
            self._phase_s = self._sampled_s
            self._n_unreported = 0
        self._phase = phase
        return [*events, Phase(phase=phase)]

    def _say(self, phase: PhaseName, text: str) -> list[Event]:
        if not text:
            return []
        self._texts[phase].append(text)
        n_tokens, self._n_unreported = self._n_unreported, 0
        if phase is PhaseName.THINKING:
            return [Thinking(text=safe_text(text), n_tokens=n_tokens)]
        return [Answer(text=safe_text(text), n_tokens=n_tokens)]

    def _finish(self, end: GenerationEnd) -> list[Event]:
        events: list[Event] = []
        was_read = self._prefill is not None and self._prefill.n_done == self._prefill.n_total
        if was_read:
            events += self._begin()
            if not self.is_complete:
                events += self._emit(self._splitter.feed(-1, end.text)) + self._flush()
            phase = self._phase or PhaseName.ANSWER
            events += self._enter(phase)
            events.append(self._stats(phase, end))
        self.is_over = True
        return [*events, self._end(end)]

    def _flush(self) -> list[Event]:
        """What the splitter, the blanks and the stop strings held back."""
        events = self._emit(self._splitter.finish())
        blanks, self._blanks = self._blanks, ""
        rest = self._stops.feed(blanks) + self._stops.finish()
        if rest:
            events += self._enter(PhaseName.ANSWER)
        return events + self._say(PhaseName.ANSWER, rest)

    def _stats(self, phase: PhaseName, end: GenerationEnd | None = None) -> Stats:
        n_tokens, seconds = self._n_tokens[phase], self._sampled_s - self._phase_s
        # the very first token comes from reading the prompt, not from a step of decoding
        n_steps = n_tokens - 1 if self._phase_s == 0 else n_tokens
        stats = Stats(
            phase=phase,
            n_tokens=n_tokens,
            seconds=seconds,
            tokens_per_s=_rate(n_steps, seconds),
        )
        if end is None:
            return stats
        first_s = self._first_token_s
        return replace(
            stats,
            time_to_first_token_s=None if first_s is None else first_s - self._started_s,
            n_ctx_used=end.n_ctx_used,
            memory_bytes=end.resident_bytes or None,
        )

    def _end(self, end: GenerationEnd) -> End:
        reason = "stop" if self.is_complete else end.reason
        detail = {
            "n_prompt": end.n_prompt,
            "n_cached": end.n_cached,
            "n_generated": end.n_generated,
            "prefill_s": round(end.prefill_s, 4),
            "decode_s": round(end.decode_s, 4),
        }
        return End(state=self._state(reason), reason=reason, detail=detail)

    def _state(self, reason: str) -> EndState:
        if self._phase is PhaseName.THINKING:
            return EndState.CUT_OFF
        if reason == "cancelled":
            return EndState.CANCELLED
        return EndState.ANSWERED if self._splitter.closed else EndState.NEVER_OPENED


def _rate(n_tokens: int, seconds: float) -> float:
    return n_tokens / seconds if seconds > 0 else 0.0
