"""PyTorch files that carry programs or lies: each is refused by name, and nothing ever runs."""

from __future__ import annotations

import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quant.errors import CheckpointDamagedError, QuantError, UnsupportedError
from quant.source import tensor_pickle
from quant.source.pytorch import read_pytorch_table
from tests.support.checkpoint_refusals import refusal
from tests.support.checkpoint_zoo import write_checkpoint
from tests.support.pytorch_files import (
    damaged_member,
    name,
    number,
    sizes,
    state_dict,
    tensor,
    text,
    write_archive,
)

_DATA = bytes(64)
_GOOD = tensor("0", "F32", (4, 4))
_CENTRAL, _END = b"PK\x01\x02", b"PK\x05\x06"


def _refused(path: Path, pickled: bytes, *, data: bytes = _DATA) -> QuantError:
    write_archive(path, pickled, {"0": data})
    with pytest.raises(QuantError) as caught:
        read_pytorch_table(path)
    assert "\n" not in caught.value.message
    return caught.value


class _RunsACommand:
    def __init__(self, command: str, protocol: int) -> None:
        self.command = command
        self.protocol = protocol

    def __reduce__(self) -> Any:
        return os.system, (self.command,)


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_that_runs_a_command_is_refused_and_runs_nothing(
    protocol: int, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    program = {"weight": _RunsACommand(f"touch {canary}", protocol)}

    error = _refused(tmp_path / "m.bin", pickle.dumps(program, protocol=protocol))

    assert isinstance(error, UnsupportedError)
    # the old text protocols are refused at their first instruction, before the name
    assert "posix.system" in error.message or "pickle instruction" in error.message
    assert not canary.exists()


def _shell(canary: Path) -> bytes:
    return text(f"touch {canary}")


_SYSTEM = name("os", "system")

_PROGRAMS: dict[str, Callable[[Path], bytes]] = {
    "reduce": lambda canary: b"\x80\x02" + _SYSTEM + b"(" + _shell(canary) + b"tR.",
    "stack-global": lambda canary: (
        b"\x80\x04" + text("os") + text("system") + b"\x93(" + _shell(canary) + b"tR."
    ),
    "inst": lambda canary: b"(" + _shell(canary) + b"ios\nsystem\n.",
    "obj": lambda canary: b"(" + _SYSTEM + _shell(canary) + b"o.",
    "newobj": lambda canary: name("collections", "OrderedDict") + b"(" + _shell(canary) + b"t\x81.",
    "build": lambda canary: _GOOD + b"}(" + text("__setstate__") + _shell(canary) + b"ub.",
    "extension": lambda canary: b"\x80\x02\x82\x01.",
    "persistent-id-as-text": lambda canary: b"Pos.system\n.",
    "nested": lambda canary: state_dict(
        {"weight": name("pickle", "loads") + b"(" + text("cos\nsystem\n.") + b"tR"}
    ),
    "inside-a-tensor": lambda canary: state_dict(
        {
            "weight": name("torch._utils", "_rebuild_parameter")
            + b"("
            + _SYSTEM
            + b"("
            + _shell(canary)
            + b"tR\x89}tR"
        }
    ),
    "as-storage": lambda canary: (
        b"(" + text("storage") + _SYSTEM + text("0") + text("cpu") + number(1) + b"tQ."
    ),
    "attribute-path": lambda canary: (
        b"\x80\x04" + text("torch._utils") + text("os.system") + b"\x93."
    ),
    "getattr": lambda canary: name("builtins", "getattr") + b".",
    "torch-load": lambda canary: name("torch", "load") + b".",
    "call-of-a-storage-type": lambda canary: name("torch", "FloatStorage") + b")R.",
    "call-of-a-list": lambda canary: b"}(tR.",
    "build-with-a-dictionary": lambda canary: name("collections", "OrderedDict") + b"}b.",
}


@pytest.mark.parametrize("kind", _PROGRAMS)
def test_a_program_in_any_disguise_is_refused_and_runs_nothing(kind: str, tmp_path: Path) -> None:
    canary = tmp_path / "canary"

    error = _refused(tmp_path / "m.bin", _PROGRAMS[kind](canary))

    assert isinstance(error, UnsupportedError)
    assert "m.bin" in error.message
    assert not canary.exists()


@pytest.mark.parametrize(
    "pickled",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\x80\x02}(", id="no-stop"),
        pytest.param(b"\x80\x02R.", id="empty-stack"),
        pytest.param(b"\x80\x02u.", id="no-mark"),
        pytest.param(b"\x80\x02h\x07.", id="unset-memo"),
        pytest.param(b"\x80\x02X\xff\xff\xff\x7fabc.", id="long-text"),
        pytest.param(b"(" * 100_000 + b".", id="deep"),
        pytest.param(b"\xff.", id="no-instruction"),
        pytest.param(b"\x80\x02}" + text("a") + b"Ns.", id="no-tensor"),
        pytest.param(b"\x80\x02}N" + _GOOD + b"s.", id="no-name"),
        pytest.param(b"\x80\x02N.", id="no-dictionary"),
        pytest.param(state_dict({"a": _GOOD})[:-1] + text("a") + _GOOD + b"s.", id="twice"),
        pytest.param(state_dict({"../a": _GOOD}), id="path"),
        pytest.param(state_dict({"a": tensor("9", "F32", (4, 4))}), id="no-storage"),
        pytest.param(state_dict({"a": tensor("../0", "F32", (4, 4))}), id="storage-path"),
        pytest.param(state_dict({"a": tensor("0", "F32", (4, 5))}), id="short-storage"),
        pytest.param(state_dict({"a": tensor("0", "F32", (4, 5), n_items=16)}), id="too-large"),
        pytest.param(state_dict({"a": tensor("0", "F32", (4,), start=-4)}), id="before"),
        pytest.param(state_dict({"a": tensor("0", "F32", (4,), start=13, n_items=16)}), id="after"),
        pytest.param(state_dict({"a": tensor("0", "F32", (-4, -4))}), id="negative"),
        pytest.param(state_dict({"a": tensor("0", "F32", (1,) * 9)}), id="nine-dimensions"),
        pytest.param(state_dict({"a": tensor("0", "F32", (4, 4), strides=(1, 4))}), id="turned"),
        pytest.param(
            state_dict({"a": tensor("0", "F32", (9, 9), strides=(0, 0), n_items=1)}), id="expanded"
        ),
    ],
)
def test_a_pickle_that_makes_no_sense_is_refused(pickled: bytes, tmp_path: Path) -> None:
    assert "m.bin" in _refused(tmp_path / "m.bin", pickled).message


def test_a_pickle_above_the_limit_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quant.source.pytorch.MAX_PICKLE_BYTES", 1000)

    assert "over 1,000" in _refused(tmp_path / "m.bin", bytes(1001)).message


def test_a_pickle_of_endless_steps_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensor_pickle, "_MAX_INSTRUCTIONS", 1000)

    assert "over 1,000 steps" in _refused(tmp_path / "m.bin", b"N" * 1001 + b".").message


def test_a_tuple_that_doubles_at_every_step_costs_nothing(tmp_path: Path) -> None:
    doubled = b"N" + b"q\x00h\x00\x86" * 2000

    _refused(tmp_path / "m.bin", doubled + text("x") + b"\x93.")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(b"7z\xbc\xaf\x27\x1c" + bytes(100), "7z archive", id="7z"),
        pytest.param(b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "bare pickle", id="pickle"),
        pytest.param(b"PK\x03\x04" + bytes(100), "no directory", id="only-the-start"),
        pytest.param(b"", "no zip archive", id="empty"),
    ],
)
def test_a_file_that_is_no_zip_is_called_what_it_is(
    content: bytes, words: str, tmp_path: Path
) -> None:
    source = write_checkpoint("odd_rows", tmp_path)
    (source / "model.safetensors").unlink()
    (source / "pytorch_model.bin").write_bytes(content)

    assert words in refusal(source, tmp_path).message


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_a_truncated_file_is_refused(share: float, tmp_path: Path) -> None:
    path = tmp_path / "m.bin"
    write_archive(path, state_dict({"a": _GOOD}), {"0": _DATA})
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])

    with pytest.raises(CheckpointDamagedError):
        read_pytorch_table(path)


@pytest.mark.parametrize(
    ("marker", "change"),
    [
        pytest.param(_CENTRAL, {10: b"\x08\0"}, id="compressed"),
        pytest.param(_CENTRAL, {8: b"\x01\0"}, id="encrypted"),
        pytest.param(_CENTRAL, {24: b"\xff\xff\0\0"}, id="two-lengths"),
        pytest.param(_CENTRAL, {20: b"\xff\xff\0\0\xff\xff\0\0"}, id="over-the-end"),
        pytest.param(_CENTRAL, {42: b"\xff\xff\0\0"}, id="header-elsewhere"),
        pytest.param(_CENTRAL, {42: b"\xff\xff\xff\xff"}, id="no-64-bit-offset"),
        pytest.param(_CENTRAL, {28: b"\xff\xff"}, id="long-name"),
        pytest.param(_CENTRAL, {46: b"../"}, id="climbing-name"),
        pytest.param(_CENTRAL, {46: b"\x1b[2"}, id="escape-in-name"),
        pytest.param(_END, {16: b"\xff\xff\xff\x7f"}, id="directory-elsewhere"),
        pytest.param(_END, {10: b"\x09\0"}, id="more-members"),
        pytest.param(b"PK\x03\x04", {26: b"\x02\0"}, id="another-local-name"),
    ],
)
def test_an_archive_that_contradicts_itself_is_refused(
    marker: bytes, change: dict[int, bytes], tmp_path: Path
) -> None:
    path = tmp_path / "m.bin"
    write_archive(path, state_dict({"a": _GOOD}), {"0": _DATA})
    damaged_member(path, marker, change)

    with pytest.raises(QuantError) as caught:
        read_pytorch_table(path)

    assert "m.bin" in caught.value.message
    assert [entry.name for entry in tmp_path.iterdir()] == ["m.bin"]


def test_two_members_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.bin"
    write_archive(path, state_dict({"a": _GOOD}), {"0": _DATA, "1": bytes(8)})
    path.write_bytes(path.read_bytes().replace(b"m/data/1", b"m/data/0"))

    with pytest.raises(CheckpointDamagedError, match="the same name"):
        read_pytorch_table(path)


def test_members_that_overlap_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.bin"
    write_archive(path, state_dict({"a": _GOOD}), {"0": _DATA})
    # the first member, data.pkl, is said to run into the next
    damaged_member(path, _CENTRAL, {20: struct.pack("<2I", 400, 400)})

    with pytest.raises(CheckpointDamagedError, match=r"overlap|runs over"):
        read_pytorch_table(path)


def test_two_pickles_in_one_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.bin"
    write_archive(path, state_dict({"a": _GOOD}), {"0": _DATA, "1/data.pkl": sizes(())})
    content = path.read_bytes().replace(b"m/data/1/data.pkl", b"m/other1/data.pkl")
    path.write_bytes(content)

    with pytest.raises(UnsupportedError, match=r"2 members data\.pkl"):
        read_pytorch_table(path)


def test_big_endian_numbers_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.bin"
    write_archive(path, state_dict({"a": _GOOD}), {"0": _DATA})
    path.write_bytes(path.read_bytes().replace(b"little", b"bigger"))

    with pytest.raises(UnsupportedError, match="big-endian"):
        read_pytorch_table(path)
