"""Owns the rendering of a model's chat template, from the safe side of a process boundary.

A template is a program from a stranger. Jinja's sandbox keeps it from reaching Python, but 22
bytes of it can ask for seconds and gigabytes. It is therefore compiled and rendered in a child
with a time and a memory limit, started when first needed and replaced after it had to be killed.
This process never imports jinja2.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from localr1.errors import EngineError, TemplateRefusedError
from localr1.terminal_text import safe_line
from localr1.worker import protocol
from localr1.worker.process import ChildProcess

MAX_TEMPLATE_BYTES = 256 * 1024
RENDER_S = 2.0
_START_S = 30.0
_MAX_REASON = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderRequest:
    """A conversation and everything a template may ask about it."""

    template: str
    messages: tuple[dict[str, str], ...]
    bos_token: str
    eos_token: str
    now: str
    """Local time in ISO 8601, for `strftime_now`."""
    switches: dict[str, bool] = field(default_factory=dict)
    """Variables of single families, such as `enable_thinking`."""


class TemplateRaisedError(TemplateRefusedError):
    """The template works, but called `raise_exception`: it does not take this conversation."""


class TemplateRenderer(Protocol):
    """Turns a conversation into prompt text."""

    def render(self, request: RenderRequest) -> str:
        """The prompt, open for the assistant's turn. Raises: TemplateRefusedError."""
        ...

    def close(self) -> None:
        """Let go of whatever rendering needed."""
        ...


class ChildRenderer:
    """Renders in a child process. Lazy: without a call there is no child."""

    def __init__(self, *, limit_s: float = RENDER_S) -> None:
        self._limit_s = limit_s
        self._child: ChildProcess | None = None

    def render(self, request: RenderRequest) -> str:
        """The prompt, open for the assistant's turn.

        Raises: TemplateRaisedError if the template itself refuses the conversation;
        TemplateRefusedError if it is too big, fails, takes too long, needs too much
        memory or writes too much.
        """
        n_bytes = len(request.template.encode("utf-8", errors="surrogatepass"))
        if n_bytes > MAX_TEMPLATE_BYTES:
            raise _refused(f"it has {n_bytes} bytes, allowed are {MAX_TEMPLATE_BYTES}")
        try:
            reply = self._ask(request)
        except EngineError as exc:
            self.close()
            raise _refused(exc.message) from exc
        except protocol.FrameError as exc:
            raise _refused(f"the conversation is too long for it: {exc}") from exc
        if reply is None:
            self.close()
            raise _refused(f"it took longer than {self._limit_s:g} seconds")
        return _text_of(reply)

    def close(self) -> None:
        """Kill the child; the next render starts another. Thread-safe."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.close()

    def _ask(self, request: RenderRequest) -> protocol.Message | None:
        child = self._child
        if child is None or not child.is_alive:
            self.close()
            child = self._child = ChildProcess.start(
                "localr1.chat.template_child", name="template renderer", timeout_s=_START_S
            )
        child.send({"type": "render", "request": protocol.to_json(request)})
        return child.receive(self._limit_s)


def _text_of(reply: protocol.Message) -> str:
    match reply:
        case {"type": "rendered", "text": str(text)}:
            return text
        case {"type": "raised", "reason": str(reason)}:
            raise TemplateRaisedError(
                f"the chat template does not take this conversation: {_line(reason)}"
            )
        case {"type": "refused", "reason": str(reason)}:
            raise _refused(reason)
    raise _refused("its renderer spoke nonsense")


def _refused(reason: str) -> TemplateRefusedError:
    return TemplateRefusedError(f"the chat template cannot be used: {_line(reason)}")


def _line(reason: str) -> str:
    line = safe_line(reason)
    return line if len(line) <= _MAX_REASON else line[: _MAX_REASON - 1] + "…"
