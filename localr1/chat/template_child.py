"""Owns the child process that renders chat templates: its memory limit and its loop.

One `render` in, one `rendered`, `raised` or `refused` out. Whatever a template does to this
process, up to ending it, is a refusal to the parent; the time limit is kept by the parent, because
no signal interrupts a multiplication of two huge numbers.
"""

from __future__ import annotations

import contextlib
import resource
import sys
from typing import Any

from localr1.chat.template import RenderRequest
from localr1.chat.template_rendering import OutputTooLongError, RaisedByTemplateError, render
from localr1.worker.childside import enter, say_ready
from localr1.worker.protocol import FrameError, Message, from_json

_MEMORY_BYTES = 768 * 1024**2  # address space; Python with jinja2 alone takes about 100 MiB


def main() -> None:
    """Serve until the parent is gone."""
    channel = enter(sys.argv)
    # macOS has no such limit that works; there the parent's deadline has to do
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    say_ready(channel, {})
    with contextlib.suppress(EOFError):
        while (message := channel.receive()) is not None and message["type"] == "render":
            channel.send(_answer(message["request"]))


def _answer(request: Any) -> Message:
    try:
        return {"type": "rendered", "text": render(from_json(RenderRequest, request))}
    except RaisedByTemplateError as exc:
        return {"type": "raised", "reason": str(exc)}
    except (OutputTooLongError, FrameError) as exc:
        return _refusal(str(exc))
    except MemoryError:
        return _refusal("it needs too much memory")
    except RecursionError:
        return _refusal("it is nested too deeply")
    except Exception as exc:  # noqa: BLE001 -- a template can raise anything Python can
        return _refusal(f"{type(exc).__name__}: {str(exc)[:500]}")


def _refusal(reason: str) -> Message:
    return {"type": "refused", "reason": reason}


if __name__ == "__main__":
    main()
