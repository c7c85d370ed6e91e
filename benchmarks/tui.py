"""What a key press costs while an answer streams.

Two interfaces in one run: ours, and a prompt above Textual's own `Markdown.get_stream()`. Each is
filled with a document, then 200 tokens/s arrive while another thread presses keys as a driver
does. A key's cost is the CPU time of the whole process between the press and its being handled:
the latency on an idle core. 120×40 cells, headless.

    python benchmarks/tui.py [--seconds 6] [--sizes 1000,5000,20000]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from textual.app import App, ComposeResult
from textual.containers import VerticalScroll
from textual.events import Key
from textual.widgets import Markdown, TextArea

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from localr1.events import Answer, End, EndState, Event, Load, Phase, PhaseName  # noqa: E402
from tui.app import ChatApp  # noqa: E402

_RATE = 200  # tokens per second
_CHARS_PER_TOKEN = 4
_KEYS_PER_S = 8
_SETTLE_S = 3.0  # until the document is drawn
_SECTION = """\
## A section with a heading

A paragraph of prose, with **bold** and *italic* words and some `code` in it, that is long enough
to be wrapped over a few lines on a terminal of ordinary width, as most paragraphs are.

1. the first of three points, which says something
2. the second, which says a little more
   - and has a point of its own
3. the third

```python
def function(argument: int) -> str:
    # a comment
    value = argument * 3 + 12
    return f"the value is {value}"
```

| name | value | remark |
|---|---|---|
| first | 1 | a short cell |
| second | 22 | a cell that is somewhat longer |

> A quotation to end the section.

"""


@dataclass
class Presses:
    """CPU seconds between pressing a key and handling it."""

    costs_s: list[float] = field(default_factory=list)
    pressed_at: float | None = None

    def handled(self) -> None:
        """The editor has changed."""
        if self.pressed_at is not None:
            self.costs_s.append(time.process_time() - self.pressed_at)
            self.pressed_at = None


class Source:
    """A conversation that fills the document and then streams at the rate; `Conversation`."""

    title = "benchmark"

    def __init__(self, n_tokens: int, rate: float, seconds: float) -> None:
        self._n_tokens = n_tokens
        self._rate = rate
        self._seconds = seconds
        self.is_streaming = threading.Event()
        self.is_over = threading.Event()
        self.n_streamed = 0

    def open(self) -> Iterator[Event]:
        """Ready at once."""
        yield Load(model=self.title, n_ctx=131072, devices=(), plan={}, measured={}, seconds=0.0)

    def ask(self, text: str) -> Iterator[Event]:
        """The document, a pause to draw it, and the stream."""
        yield Phase(phase=PhaseName.ANSWER)
        for piece in pieces(self._n_tokens):
            yield Answer(text=piece, t=0.01)
        time.sleep(_SETTLE_S)
        for piece in self.paced():
            yield Answer(text=piece, t=_SETTLE_S + self.n_streamed / self._rate)
        yield End(state=EndState.ANSWERED)

    def paced(self) -> Iterator[str]:
        """Pieces at the rate, for the seconds; a slow consumer gets fewer."""
        self.is_streaming.set()
        started_s = time.monotonic()
        for piece in cycle(pieces(4000)):
            due_s = started_s + self.n_streamed / self._rate
            if due_s > started_s + self._seconds or time.monotonic() > started_s + self._seconds:
                break
            time.sleep(max(due_s - time.monotonic(), 0))
            self.n_streamed += 1
            yield piece
        self.is_over.set()

    def listen(self, tell: Callable[[Event], None]) -> None:
        """Nothing happens between replies."""

    def stop(self) -> None:
        """Nothing to stop."""

    def clear(self) -> None:
        """Nothing to forget."""

    def close(self) -> None:
        """Nothing to close."""


def pieces(n_tokens: int) -> list[str]:
    """The document in tokens of four characters."""
    text = "".join(islice(cycle(_SECTION), n_tokens * _CHARS_PER_TOKEN))
    return [text[i : i + _CHARS_PER_TOKEN] for i in range(0, len(text), _CHARS_PER_TOKEN)]


class OurApp(ChatApp):
    """Our interface, telling when a key has been handled."""

    def __init__(self, source: Source, presses: Presses) -> None:
        super().__init__(source)
        self._presses = presses

    def on_text_area_changed(self) -> None:
        """A key arrived in the prompt."""
        self._presses.handled()


class MarkdownApp(App[int]):
    """A prompt below Textual's Markdown widget, fed through its stream."""

    def __init__(self, source: Source, presses: Presses) -> None:
        super().__init__()
        self._source = source
        self._presses = presses

    def compose(self) -> ComposeResult:
        """Document and prompt."""
        with VerticalScroll() as scroll:
            scroll.anchor()
            yield Markdown()
        yield TextArea()

    async def fill(self, n_tokens: int) -> None:
        """The document, by append as the stream does it."""
        self.query_one(TextArea).focus()
        await self.query_one(Markdown).append("".join(pieces(n_tokens)))

    async def stream(self) -> None:
        """As the documentation of `get_stream` shows it; tokens come from a thread."""
        stream = Markdown.get_stream(self.query_one(Markdown))
        loop = asyncio.get_running_loop()

        def produce() -> None:
            for piece in self._source.paced():
                asyncio.run_coroutine_threadsafe(stream.write(piece), loop)

        await asyncio.to_thread(produce)

    def on_text_area_changed(self) -> None:
        """A key arrived in the prompt."""
        self._presses.handled()


def press_keys(app: App[int], source: Source, presses: Presses) -> None:
    """From a thread, as a terminal driver does, one key at a time, until the stream is over."""
    source.is_streaming.wait()
    loop = app._loop  # noqa: SLF001 - where the drivers of Textual post to
    assert loop is not None
    while not source.is_over.wait(1 / _KEYS_PER_S):
        if presses.pressed_at is None:
            presses.pressed_at = time.process_time()
            asyncio.run_coroutine_threadsafe(
                app._post_message(Key("x", "x")),  # noqa: SLF001
                loop,
            )


async def measure_ours(n_tokens: int, seconds: float) -> dict[str, Any]:
    """Our interface with a document of this size."""
    source, presses = Source(n_tokens, _RATE, seconds), Presses()
    app = OurApp(source, presses)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause(0.3)
        await pilot.press("h", "enter")
        return await _measure(app, source, presses, seconds)


async def measure_markdown(n_tokens: int, seconds: float) -> dict[str, Any]:
    """Textual's Markdown with a document of this size."""
    source, presses = Source(n_tokens, _RATE, seconds), Presses()
    app = MarkdownApp(source, presses)
    async with app.run_test(size=(120, 40)) as pilot:
        await app.fill(n_tokens)
        await pilot.pause(_SETTLE_S)
        streaming = asyncio.create_task(app.stream())
        result = await _measure(app, source, presses, seconds)
        await streaming
        return result


async def _measure(
    app: App[int], source: Source, presses: Presses, seconds: float
) -> dict[str, Any]:
    keys = threading.Thread(target=press_keys, args=(app, source, presses), daemon=True)
    keys.start()
    await asyncio.to_thread(source.is_streaming.wait)
    presses.costs_s.clear()
    cpu_s = time.process_time()
    await asyncio.to_thread(source.is_over.wait)
    cpu_s = time.process_time() - cpu_s
    if presses.pressed_at is not None:  # never handled: at least this long
        presses.handled()
    costs_ms = sorted(cost * 1000 for cost in presses.costs_s)
    return {
        "key_p50_ms": round(statistics.median(costs_ms), 1),
        "key_p95_ms": round(costs_ms[int(0.95 * (len(costs_ms) - 1))], 1),
        "n_keys": len(costs_ms),
        "cpu_share": round(cpu_s / seconds, 2),
        "tokens_per_s": round(source.n_streamed / seconds, 1),
    }


def main() -> None:
    """Both interfaces at every size; a table, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--sizes", default="1000,5000,20000")
    options = parser.parse_args()
    results = []
    print(
        f"{'document':>10} {'interface':>10} {'key p50':>9} {'key p95':>9} {'keys':>5} {'CPU':>5}"
    )
    for n_tokens in map(int, options.sizes.split(",")):
        for name, measure in (("ours", measure_ours), ("Markdown", measure_markdown)):
            row = asyncio.run(measure(n_tokens, options.seconds))
            results.append({"interface": name, "document_tokens": n_tokens, **row})
            print(
                f"{n_tokens:>10} {name:>10} {row['key_p50_ms']:>6} ms {row['key_p95_ms']:>6} ms "
                f"{row['n_keys']:>5} {row['cpu_share']:>5.0%}"
            )
    print(json.dumps({"benchmark": "tui", "rate_tokens_per_s": _RATE, "results": results}))


if __name__ == "__main__":
    main()
