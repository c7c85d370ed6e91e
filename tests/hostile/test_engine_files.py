from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from localr1.errors import EngineDiedError, EngineRefusedError
from localr1.worker.host import Engine
from tests.support.engines import end, greedy, load
from tests.support.models import parameters_for


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with closing(Engine.start(log_dir=tmp_path)) as engine:
        yield engine


_DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "four bytes": lambda data: data[:4],
    "cut in the header": lambda data: data[:2000],
    "cut in the tensors": lambda data: data[: len(data) // 2],
    "last byte missing": lambda data: data[:-1],
    "wrong magic": lambda data: b"NOPE" + data[4:],
    "version from the future": lambda data: data[:4] + b"\xff\xff\xff\x7f" + data[8:],
    "more tensors than bytes": lambda data: data[:8] + b"\xff" * 7 + b"\x0f" + data[16:],
    "text": lambda data: b"root:x:0:0\n" * 1000,
    "zeros": lambda data: bytes(100_000),
}


@pytest.mark.parametrize("damage", _DAMAGE.values(), ids=_DAMAGE)
def test_damaged_file_is_refused_in_one_line(
    engine: Engine, r1_nano: Path, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "damaged.gguf"
    path.write_bytes(damage(r1_nano.read_bytes()))

    with pytest.raises((EngineRefusedError, EngineDiedError)) as caught:
        load(engine, parameters_for(path))

    assert "\n" not in caught.value.message


def test_engine_that_refused_a_file_loads_the_next_one(
    engine: Engine, r1_nano: Path, tmp_path: Path
) -> None:
    with pytest.raises(EngineRefusedError, match="cannot load"):
        load(engine, parameters_for(tmp_path / "missing.gguf"))

    load(engine, parameters_for(r1_nano))

    assert end(list(engine.generate(greedy("hello", 2)))).n_generated == 2


def test_wrong_magic_is_named(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "not.gguf"
    path.write_bytes(b"NOPE" + bytes(1000))

    with pytest.raises(EngineRefusedError, match="invalid magic"):
        load(engine, parameters_for(path))


def test_directory_is_refused(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises((EngineRefusedError, EngineDiedError)):
        load(engine, parameters_for(tmp_path))
