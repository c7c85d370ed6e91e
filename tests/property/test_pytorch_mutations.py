"""A PyTorch file changed at random is refused with a typed error or read as harmless numbers."""

from __future__ import annotations

import pickletools
import random
import sys
from pathlib import Path
from typing import Any

import pytest

from quant.errors import QuantError
from quant.source.pytorch import read_pytorch_table
from tests.support.pytorch_files import state_dict, tensor, write_archive

_GOLDEN = Path(__file__).parents[1] / "golden" / "quant" / "tiny.bin"
_PICKLE = state_dict({"a": tensor("0", "F32", (4, 4)), "b": tensor("0", "F16", (2, 16))})
_OPCODES = [opcode.code.encode("latin-1") for opcode in pickletools.opcodes]
_WATCHED = ("os.", "subprocess.", "socket.", "shutil.", "ctypes.", "pickle.find_class")


@pytest.fixture(scope="module")
def events() -> list[str]:
    """Every event of the interpreter that a harmless read does not cause; a hook stays for good."""
    seen: list[str] = []

    def hook(event: str, _arguments: Any) -> None:
        if event.startswith(_WATCHED):
            seen.append(event)

    sys.addaudithook(hook)
    return seen


def _read(path: Path) -> None:
    try:
        table = read_pytorch_table(path)
    except QuantError:
        return
    n_bytes = path.stat().st_size
    assert all(stored.offset + stored.n_bytes <= n_bytes for stored in table.values())


@pytest.mark.parametrize("seed", range(10))
def test_a_pickle_with_changed_bytes_calls_nothing(
    seed: int, tmp_path: Path, events: list[str]
) -> None:
    chance = random.Random(seed)  # noqa: S311 - seeded on purpose
    for number in range(100):
        changed = bytearray(_PICKLE)
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(changed))
            changed[at : at + chance.randint(0, 2)] = chance.choice(_OPCODES)
        path = tmp_path / f"{number}.bin"
        write_archive(path, bytes(changed), {"0": bytes(64)})
        before = len(events)

        _read(path)

        assert events[before:] == []


@pytest.mark.parametrize("seed", range(10))
def test_an_archive_with_changed_bytes_never_leads_out_of_the_file(
    seed: int, tmp_path: Path, events: list[str]
) -> None:
    chance = random.Random(seed)  # noqa: S311 - seeded on purpose
    content = _GOLDEN.read_bytes()
    path = tmp_path / "m.bin"
    for _ in range(100):
        changed = bytearray(content)
        # the headers and the directory, not the numbers
        for _ in range(chance.randint(1, 3)):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        path.write_bytes(changed[: chance.choice([len(changed), chance.randrange(len(changed))])])
        before = len(events)

        _read(path)

        assert events[before:] == []
