"""Sums that are none: the engine's child is ended, and one typed error says so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from localr1.errors import EngineDiedError
from localr1.worker.frames import EngineInfo
from localr1.worker.host import Engine
from localr1.worker.process import ChildProcess
from quant.importance.measured import MeasuredTensor

_INFO = EngineInfo(
    pid=1, llama_cpp_python="0", supports_gpu_offload=False, supports_rpc=False, devices=()
)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """An engine whose sums are always the name of the weight they were asked for."""
    child = ChildProcess.start("tests.support.scripted_child", name="engine", log_dir=tmp_path)
    with closing(Engine(child, _INFO)) as engine:
        yield engine


def test_honest_sums_arrive(engine: Engine) -> None:
    assert list(engine.input_sums(MeasuredTensor("AACAPw==", 1, (1,)))) == [b"\0\0\x80\x3f"]


@pytest.mark.parametrize("data", ["", "no base64", "AACAPwAAgD8=", "AACAPw"])
def test_sums_that_are_no_numbers_or_too_many_end_the_child(data: str, engine: Engine) -> None:
    with pytest.raises(EngineDiedError, match="sent nonsense: not the sums of"):
        list(engine.input_sums(MeasuredTensor(data, 1, (1,))))

    assert not engine.is_alive
