"""The chat screen in every state, at the two sizes that most terminals have."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from localr1.events import (
    Answer,
    End,
    EndState,
    Event,
    Load,
    Notice,
    Phase,
    PhaseName,
    Progress,
    Prompt,
    Stats,
    Thinking,
)
from tests.support.fake_conversation import FakeConversation, Gate, Turn, failure
from tests.support.tui_pilot import NARROW, WIDE, Driver, drive
from tests.support.tui_snapshots import check

_QUESTION = "What is 12 + 8 * 3?"
_THOUGHT = """\
Okay, I need 12 + 8 * 3.

Multiplication comes before addition, so 8 * 3 first: 24.
Wait, 8 + 8 + 8 = 24. Yes. Then 12 + 24 = 36.
"""
_ANSWER = """\
## Result

It is **36**, because `*` binds *tighter* than `+`:

1. multiply: 8 * 3 = 24
2. add: 12 + 24 = 36

```python
def value() -> int:
    return 12 + 8 * 3
```

| order | value |
|---|---|
| 12 + (8 * 3) | 36 |
| (12 + 8) * 3 | 60 |

> 漢字 and 🙂 are two cells wide; [/INST] is text.
"""
_PLAN = {"devices": [{"weights_bytes": 1_100_000_000, "kv_bytes": 230_000_000}], "host": {}}
_MEASURED = {
    "buffers": [
        {"device": "CPU", "purpose": "weights", "n_bytes": 1_100_000_000},
        {"device": "CPU", "purpose": "kv", "n_bytes": 229_000_000},
    ],
    "resident_bytes": 1_390_000_000,
}
_LOADED: list[Event] = [
    Progress(stage="load", done=1, total=4, t=0.1),
    Load(
        model="r1-nano",
        n_ctx=4096,
        devices=(),
        plan=_PLAN,
        measured=_MEASURED,
        seconds=0.8,
    ),
]


def _reply(*, thinking_gate: Gate, answer_gate: Gate) -> Turn:
    return [
        Progress(stage="prompt", done=64, total=128, t=0.1),
        Prompt(n_tokens=128, n_cached=0, t=0.4),
        Phase(phase=PhaseName.THINKING, t=0.5),
        Thinking(text=_THOUGHT[:60], n_tokens=15, t=1.0),
        thinking_gate,
        Thinking(text=_THOUGHT[60:], n_tokens=30, t=2.0),
        Stats(phase=PhaseName.THINKING, n_tokens=45, seconds=1.5, tokens_per_s=30.0, t=2.0),
        Phase(phase=PhaseName.ANSWER, t=2.0),
        Answer(text=_ANSWER[:120], n_tokens=40, t=3.0),
        answer_gate,
        Answer(text=_ANSWER[120:], n_tokens=80, t=6.0),
        Stats(
            phase=PhaseName.ANSWER,
            n_tokens=120,
            seconds=4.0,
            tokens_per_s=30.0,
            time_to_first_token_s=0.5,
            n_ctx_used=293,
            memory_bytes=1_400_000_000,
            t=6.0,
        ),
        End(state=EndState.ANSWERED, reason="eog", t=6.0),
    ]


Scene = Callable[[Driver, Gate, Gate], Awaitable[None]]


async def _empty(driver: Driver, thinking: Gate, answer: Gate) -> None:
    await driver.until_idle()


async def _thinking(driver: Driver, thinking: Gate, answer: Gate) -> None:
    await driver.until_idle()
    await driver.send(_QUESTION)
    await driver.until_at(thinking)


async def _collapsed(driver: Driver, thinking: Gate, answer: Gate) -> None:
    await _thinking(driver, thinking, answer)
    await driver.press("ctrl+t")
    await driver.until(lambda: not driver.chat.thinking.log_view.is_on_screen)


async def _answering(driver: Driver, thinking: Gate, answer: Gate) -> None:
    thinking.open()
    await driver.until_idle()
    await driver.send(_QUESTION)
    await driver.until_at(answer)


async def _done(driver: Driver, thinking: Gate, answer: Gate) -> None:
    answer.open()
    await _answering(driver, thinking, answer)
    await driver.until_idle()


async def _help(driver: Driver, thinking: Gate, answer: Gate) -> None:
    await driver.until_idle()
    await driver.press("f1")


_SCENES: dict[str, Scene] = {
    "empty": _empty,
    "thinking": _thinking,
    "collapsed": _collapsed,
    "answering": _answering,
    "done": _done,
    "help": _help,
}


def _golden(name: str, size: tuple[int, int]) -> Path:
    return Path(__file__).parent / f"{name}-{size[0]}x{size[1]}.txt"


def _check(
    conversation: FakeConversation,
    scene: Callable[[Driver], Awaitable[None]],
    name: str,
    size: tuple[int, int],
) -> None:
    async def scenario(driver: Driver) -> None:
        await scene(driver)
        check(driver.app, _golden(name, size))

    drive(conversation, scenario, size)


@pytest.fixture(params=[NARROW, WIDE], ids=["80x24", "120x36"])
def size(request: pytest.FixtureRequest) -> tuple[int, int]:
    chosen: tuple[int, int] = request.param
    return chosen


@pytest.mark.parametrize("name", _SCENES)
def test_screen_looks_as_recorded(name: str, size: tuple[int, int]) -> None:
    thinking, answer = Gate(), Gate()
    turn = _reply(thinking_gate=thinking, answer_gate=answer)
    conversation = FakeConversation([turn], opening=_LOADED, title="r1-nano")

    async def scene(driver: Driver) -> None:
        await _SCENES[name](driver, thinking, answer)

    _check(conversation, scene, name, size)


def test_loading_screen_looks_as_recorded(size: tuple[int, int]) -> None:
    gate = Gate()
    conversation = FakeConversation(opening=[_LOADED[0], gate], title="r1-nano")

    async def scene(driver: Driver) -> None:
        await driver.until_at(gate)

    _check(conversation, scene, "loading", size)


def test_error_screen_looks_as_recorded(size: tuple[int, int]) -> None:
    turn: Sequence[Event | Gate] = [
        Prompt(n_tokens=128, n_cached=0, t=0.4),
        Phase(phase=PhaseName.ANSWER, t=0.5),
        Answer(text="It is **36**, bec", n_tokens=6, t=1.0),
        Notice(code="gpu_fallback", message="the GPU was lost; the next answer runs on the CPU"),
        *failure(),
    ]
    conversation = FakeConversation([turn], opening=_LOADED, title="r1-nano")

    async def scene(driver: Driver) -> None:
        await driver.until_idle()
        await driver.send(_QUESTION)
        await driver.until_idle()

    _check(conversation, scene, "error", size)
