from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from localr1.errors import EngineDiedError
from localr1.worker.frames import PrefillProgress, TokenPiece
from localr1.worker.host import Engine
from tests.support.engines import end, greedy, load
from tests.support.models import parameters_for

_LONG = "<｜User｜>" + "one two three four five " * 60 + "<｜Assistant｜>"
_DEADLY = [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with closing(Engine.start(log_dir=tmp_path)) as engine:
        yield engine


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stopped engine is given up after a moment instead of half a minute."""
    monkeypatch.setattr("localr1.worker.host._STALL_S", 0.2)
    monkeypatch.setattr("localr1.worker.host._LOAD_STALL_S", 0.2)
    monkeypatch.setattr("localr1.worker.vitals.LOOK_S", 0.02)


def _hit_while_loading(engine: Engine, model: Path, number: int) -> None:
    progress = engine.load(parameters_for(model))
    next(progress)
    os.kill(engine.pid, number)
    for _ in progress:
        pass
    list(engine.generate(greedy(_LONG)))  # had the load been done by then


def _hit_while_reading(engine: Engine, model: Path, number: int) -> None:
    load(engine, parameters_for(model, n_ctx=1024, n_ubatch=1))
    for frame in engine.generate(greedy(_LONG)):
        if isinstance(frame, PrefillProgress) and frame.n_done == 3:
            os.kill(engine.pid, number)


def _hit_while_decoding(engine: Engine, model: Path, number: int) -> None:
    load(engine, parameters_for(model, n_ctx=1024))
    for frame in engine.generate(greedy(_LONG, None)):
        if isinstance(frame, TokenPiece):
            os.kill(engine.pid, number)
    list(engine.generate(greedy(_LONG)))  # had the reply been done by then


_MOMENTS = [_hit_while_loading, _hit_while_reading, _hit_while_decoding]


@pytest.mark.parametrize("hit", _MOMENTS, ids=lambda hit: hit.__name__)
@pytest.mark.parametrize("number", _DEADLY, ids=lambda number: number.name)
def test_killed_engine_is_a_typed_error(
    engine: Engine,
    r1_nano: Path,
    hit: object,
    number: signal.Signals,
) -> None:
    assert callable(hit)
    with pytest.raises(EngineDiedError) as caught:
        hit(engine, r1_nano, number)

    assert number.name in caught.value.message
    assert not engine.is_alive
    assert not psutil.pid_exists(engine.pid)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("hit", _MOMENTS, ids=lambda hit: hit.__name__)
def test_stopped_engine_is_a_typed_error(engine: Engine, r1_nano: Path, hit: object) -> None:
    assert callable(hit)
    with pytest.raises(EngineDiedError, match="stopped answering"):
        hit(engine, r1_nano, signal.SIGSTOP)

    assert not psutil.pid_exists(engine.pid)


def test_another_engine_takes_over(engine: Engine, r1_nano: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineDiedError):
        _hit_while_decoding(engine, r1_nano, signal.SIGKILL)

    with closing(Engine.start(log_dir=tmp_path)) as second:
        load(second, parameters_for(r1_nano))
        reply = list(second.generate(greedy(_LONG[:80], 4)))

    assert end(reply).n_generated == 4


def test_cancel_of_a_dead_engine_does_nothing(engine: Engine, r1_nano: Path) -> None:
    with pytest.raises(EngineDiedError):
        _hit_while_decoding(engine, r1_nano, signal.SIGKILL)

    engine.cancel()
    engine.close()


def test_reply_ends_even_if_the_engine_does_not_hear_the_cancel(
    engine: Engine, r1_nano: Path
) -> None:
    load(engine, parameters_for(r1_nano, n_ctx=1024, n_ubatch=1))
    frames = []
    for frame in engine.generate(greedy(_LONG)):
        frames.append(frame)
        if isinstance(frame, PrefillProgress) and frame.n_done == 3:
            # as deaf as in the middle of one huge graph node
            os.kill(engine.pid, signal.SIGSTOP)
            engine.cancel()
    os.kill(engine.pid, signal.SIGCONT)

    assert end(frames).reason == "cancelled"
    assert end(frames).n_generated == 0
    assert end(frames).resident_bytes > 0
    assert end(list(engine.generate(greedy(_LONG, 4)))).n_generated == 4
