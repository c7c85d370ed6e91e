"""Owns a conversation with one model: its history, its engine, and the events of every reply.

What stays in the history: replies that ended by themselves, and those that were stopped, as far as
they were shown. A turn whose engine failed, or that was stopped before anything was shown, leaves
no trace: asking again sends the same prompt as the first time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime

from backends.errors import BackendError
from localr1.chat.attachments import with_documents
from localr1.chat.engine import EngineLike, EngineWatch
from localr1.chat.prompt import BuiltPrompt, Exchange, PromptBuilder
from localr1.chat.reply import Reply
from localr1.chat.sampling import merge_sampling
from localr1.chat.splitters import make_splitter
from localr1.chat.stop import StopMatcher
from localr1.chat.template import ChildRenderer, TemplateRenderer
from localr1.errors import EngineDiedError, LocalR1Error, UsageError
from localr1.events import End, EndState, Error, Event, Load, Notice
from localr1.terminal_text import safe_line
from localr1.worker.frames import GenerateRequest, GenerationFrame, LoadReport
from localr1.worker.protocol import FrameError
from quant.errors import QuantError

_EXPLAINED = (LocalR1Error, BackendError, QuantError)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedModel:
    """A model in a running engine, ready to be talked to."""

    engine: EngineLike
    report: LoadReport
    chat_template: str | None
    sampling_defaults: Mapping[str, float]
    """The model's own, by GGUF or generation_config names; see `merge_sampling`."""
    load_event: Load
    title: str
    """The model's name for people."""
    watch: Callable[[GenerationFrame], Sequence[Notice]] = lambda _frame: ()
    """Sees every frame of every reply, and may have something to say."""


Opener = Callable[[], Generator[Event, None, OpenedModel]]
"""Starts an engine and loads the model; yields progress and notices. May be called again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOptions:
    """What the user fixed for the conversation."""

    system: str = ""
    thinks: bool = True
    """False asks templates that have a switch for it to leave the thought out."""
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    sampling: Mapping[str, float] = field(default_factory=dict)
    """Field names of `Sampling`; only what the user set."""
    documents: str = ""
    """What `framed` made of them; goes before the first question."""


class ChatSession:
    """The real `Conversation`."""

    def __init__(
        self,
        opener: Opener,
        options: SessionOptions | None = None,
        *,
        title: str = "",
        renderer: TemplateRenderer | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = datetime.now,
    ) -> None:
        self._opener = opener
        self._options = options or SessionOptions()
        self._title = title
        self._renderer = renderer or ChildRenderer()
        self._clock = clock
        self._now = now
        self._opened: OpenedModel | None = None
        self._builder: PromptBuilder | None = None
        self._history: list[Exchange] = []
        self._stopping = threading.Event()
        self._is_closed = False
        self._watch = EngineWatch()

    @property
    def title(self) -> str:
        """The model's name for people."""
        return safe_line(self._opened.title if self._opened else self._title)

    def open(self) -> Iterator[Event]:
        """Start the engine and load the model; if that has been done, just say so again."""
        self._stopping.clear()
        if self._opened is not None:
            return iter([self._opened.load_event])
        return self._stamped(self._open())

    def ask(self, text: str) -> Iterator[Event]:
        """Send a user message and stream the reply; ends with exactly one `end`."""
        self._stopping.clear()
        return self._stamped(self._ask(text))

    def stop(self) -> None:
        """Stop whatever runs: loading, reading the prompt, or the reply. Thread-safe."""
        self._stopping.set()
        opened = self._opened
        if opened is not None:
            opened.engine.cancel()

    def listen(self, tell: Callable[[Event], None]) -> None:
        """Tell of what happens between replies: the engine has ended. From another thread."""
        self._watch.tell = tell

    def clear(self) -> None:
        """Forget the history; a reply that is running will not enter the new one."""
        self._history = []

    def close(self) -> None:
        """Stop the engine for good."""
        self._is_closed = True
        self._stopping.set()
        self._drop_engine()
        self._renderer.close()

    def _stamped(self, events: Generator[Event, None, object]) -> Iterator[Event]:
        """The events with the time since now; closing this closes them."""
        started_s = self._clock()
        with self._watch.request(), contextlib.closing(events):
            for event in events:
                yield dataclasses.replace(event, t=self._clock() - started_s)

    def _open(self) -> Generator[Event, None, bool]:
        """Load the model if need be; returns False after an `end`."""
        if self._opened is not None and self._opened.engine.is_alive:
            return True
        if self._opened is not None:
            self._drop_engine()
            yield Notice(code="engine_restarted", message="the engine had ended; starting it again")
        opening = self._opener()
        try:
            opened = yield from self._until_stopped(opening)
        except _EXPLAINED as exc:
            yield from _failure(exc)
            return False
        if opened is not None and self._is_closed:
            opened.engine.close()
            opened = None
        if opened is None:
            yield End(state=EndState.CANCELLED, reason="cancelled")
            return False
        self._opened = opened
        self._watch.follow(opened.engine)
        self._builder = PromptBuilder(
            opened.chat_template,
            opened.report,
            self._renderer,
            thinks=self._options.thinks,
            now=self._now,
        )
        yield opened.load_event
        return True

    def _until_stopped(
        self, opening: Generator[Event, None, OpenedModel]
    ) -> Generator[Event, None, OpenedModel | None]:
        """The opener's events; None instead of the model if the user did not want to wait."""
        with contextlib.closing(opening):
            while not (self._stopping.is_set() or self._is_closed):
                try:
                    event = next(opening)
                except StopIteration as done:
                    opened: OpenedModel = done.value
                    return opened
                yield event
        return None

    def _ask(self, text: str) -> Generator[Event, None, None]:
        is_open = yield from self._open()
        if not is_open:
            return
        opened, builder = self._opened, self._builder
        if opened is None or builder is None or self._stopping.is_set():
            yield End(state=EndState.CANCELLED, reason="cancelled")
            return
        if not self._history:
            text = with_documents(self._options.documents, text)
        try:
            prompt = builder.build(self._options.system, self._history, text)
        except LocalR1Error as exc:
            yield from _failure(exc)
            return
        yield from prompt.notices
        yield from self._reply(opened, prompt, text)

    def _reply(self, opened: OpenedModel, prompt: BuiltPrompt, text: str) -> Iterator[Event]:
        history = self._history
        reply = self._new_reply(opened, prompt)
        wanted = GenerateRequest(
            segments=prompt.segments,
            sampling=merge_sampling(self._options.sampling, opened.sampling_defaults),
            max_tokens=self._options.max_tokens,
        )
        try:
            with _closing(opened.engine.generate(wanted)) as frames:
                for frame in frames:
                    events = reply.feed(frame)
                    # before the last event is out: who has seen `end` need not come back
                    if reply.is_over and history is self._history:
                        _remember(history, text, reply)
                    yield from opened.watch(frame)
                    yield from events
                    self._cancel_if_needed(opened.engine, reply)
        except FrameError as exc:
            reason = f"the conversation is too long to hand to the engine: {exc}"
            yield from _failure(UsageError(reason, hint="clear the conversation"))
        except LocalR1Error as exc:
            yield from reply.abort()
            yield from self._engine_failure(exc)

    def _new_reply(self, opened: OpenedModel, prompt: BuiltPrompt) -> Reply:
        splitter = make_splitter(
            prompt.format,
            opened.report.special_tokens,
            starts_in_thinking=prompt.starts_in_thinking,
        )
        return Reply(splitter, StopMatcher((*self._options.stop, *prompt.stops)), self._clock)

    def _cancel_if_needed(self, engine: EngineLike, reply: Reply) -> None:
        """End what is of no more use, and repeat a stop that came before the request began."""
        if not reply.is_over and (reply.is_complete or self._stopping.is_set()):
            engine.cancel()

    def _engine_failure(self, exc: LocalR1Error) -> Iterator[Event]:
        if self._is_closed:
            yield End(state=EndState.CANCELLED, reason="cancelled")
            return
        if isinstance(exc, EngineDiedError):
            self._drop_engine()
        yield from _failure(exc)

    def _drop_engine(self) -> None:
        opened, self._opened = self._opened, None
        self._watch.follow(None)
        if opened is not None:
            opened.engine.close()


def _closing(
    frames: Iterator[GenerationFrame],
) -> AbstractContextManager[Iterator[GenerationFrame]]:
    """Closes what can be closed; a plain iterator has nothing to cancel."""
    if isinstance(frames, Generator):
        return contextlib.closing(frames)
    return contextlib.nullcontext(frames)


def _remember(history: list[Exchange], text: str, reply: Reply) -> None:
    if reply.thinking or reply.answer:
        history.append(Exchange(text, reply.thinking, reply.answer))


def _failure(exc: LocalR1Error | BackendError | QuantError) -> Iterator[Event]:
    yield Error(code=exc.code, message=safe_line(exc.message), hint=safe_line(exc.hint))
    yield End(state=EndState.FAILED, reason="error")
