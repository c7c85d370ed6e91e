"""GGUFs that no output can be made from: each is a typed error, and nothing is written."""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from pathlib import Path

import pytest

from quant.errors import BadRequestError, CheckpointDamagedError, QuantError
from quant.gguf.header import read_header
from quant.pipeline import ConvertProgress, convert
from tests.support.checkpoint_zoo import write_checkpoint
from tests.support.gguf_writer import (
    F32,
    Q4_0,
    Q8_0,
    Value,
    header,
    key_value,
    raw_key_value,
    tensor_row,
    write_model,
)

_UINT16 = 2
_KEYS: dict[str, Value] = {"general.architecture": "llama", "llama.block_count": 1}
_Tensors = Mapping[str, tuple[tuple[int, ...], int]]

_MATRIX: _Tensors = {"blk.0.ffn_up.weight": ((32, 4), Q8_0)}

_REFUSED: dict[str, tuple[Mapping[str, Value], _Tensors, str]] = {
    "too few bits": (_KEYS, {"blk.0.ffn_up.weight": ((32, 4), Q4_0)}, "ffn_up.weight is Q4_0"),
    "no tensors": (_KEYS, {}, "no tensors"),
    "no architecture": ({"llama.block_count": 1}, _MATRIX, "general.architecture is None"),
    "an architecture that is a number": (
        _KEYS | {"general.architecture": 3}, _MATRIX, "architecture is 3, no name",
    ),
    "no layers": (_KEYS | {"llama.block_count": 0}, _MATRIX, "block_count is 0"),
    "a thousand layers": (_KEYS | {"llama.block_count": 1000}, _MATRIX, "block_count is 1000"),
    "layers in words": (_KEYS | {"llama.block_count": "one"}, _MATRIX, "'one', not a number"),
    "half a head": (
        _KEYS | {"llama.attention.head_count": 0.5}, _MATRIX, "head_count is 0.5, not a number",
    ),
    "heads of no layer": (
        _KEYS | {"llama.attention.head_count": list[int]()}, _MATRIX, "head_count is None",
    ),
    "an expert outside the layers": (
        _KEYS | {"llama.expert_count": 2},
        {"blk.7.ffn_down_exps.weight": ((32, 4, 2), F32)},
        "in none of the 1 layers",
    ),
    "rows without end": (_KEYS, {"blk.0.ffn_up.weight": ((2**25, 2), Q8_0)}, "rows of 33,554,432"),
    "a part that is alone": (_KEYS | {"split.count": 2}, _MATRIX, "its name does not say so"),
    "parts in words": (_KEYS | {"split.count": "two"}, _MATRIX, "split.count is 'two'"),
}  # fmt: skip


@pytest.mark.parametrize("name", _REFUSED)
def test_a_gguf_that_makes_no_sense_is_refused(name: str, tmp_path: Path) -> None:
    keys, tensors, message = _REFUSED[name]
    source = write_model(tmp_path / "source.gguf", keys, tensors)

    with pytest.raises(QuantError, match=message):
        convert(source, tmp_path / "out.gguf")

    assert list(tmp_path.iterdir()) == [source]


def test_weights_that_are_no_numbers_are_named(tmp_path: Path) -> None:
    for dtype in ("Q8_0", "F16"):
        source = tmp_path / f"{dtype}.gguf"
        convert(write_checkpoint("qwen2_tied", tmp_path / dtype), source, file_type=dtype)
        with source.open("r+b") as file:
            file.seek(-2 * 34 * 8 * 4, 2)
            file.write(struct.pack("<H", 0x7C00) * 34 * 4)  # infinity

        for file_type in ("Q4_0", dtype):
            with pytest.raises(CheckpointDamagedError, match="it holds NaN or infinity"):
                convert(source, tmp_path / "out.gguf", file_type=file_type)


def test_a_tensor_whose_name_is_no_text_is_refused(tmp_path: Path) -> None:
    head = header([], [tensor_row(b"blk.\xff.weight", (8,), F32, 0)])
    (tmp_path / "source.gguf").write_bytes(head + bytes(32))

    with pytest.raises(QuantError, match="is not valid Unicode"):
        convert(tmp_path / "source.gguf", tmp_path / "out.gguf")


@pytest.fixture
def parts(tmp_path: Path) -> list[Path]:
    """A model in files of less than one megabyte."""
    checkpoint = write_checkpoint("qwen2_tied", tmp_path / "checkpoint")
    convert(checkpoint, tmp_path / "m.gguf", file_type="F16", split_bytes=2 * 10**6)
    return sorted(tmp_path.glob("m-*.gguf"))


def test_any_part_but_the_first_is_refused(parts: list[Path], tmp_path: Path) -> None:
    with pytest.raises(BadRequestError, match=f"is part 2 of {len(parts)}"):
        convert(parts[1], tmp_path / "out.gguf")


def test_a_missing_part_is_named(parts: list[Path], tmp_path: Path) -> None:
    parts[-1].unlink()

    with pytest.raises(QuantError, match=f"there is no .*{parts[-1].name}"):
        convert(parts[0], tmp_path / "out.gguf")


def test_parts_that_changed_places_are_noticed(parts: list[Path], tmp_path: Path) -> None:
    parts[1].rename(tmp_path / "other")
    parts[2].rename(parts[1])
    (tmp_path / "other").rename(parts[2])

    with pytest.raises(QuantError, match=r"calls itself part 3 of .*, where part 2 of"):
        convert(parts[0], tmp_path / "out.gguf")


def test_a_part_of_another_model_is_noticed(parts: list[Path], tmp_path: Path) -> None:
    one_more = [
        raw_key_value("split.no", _UINT16, struct.pack("<H", 1)),
        raw_key_value("split.count", _UINT16, struct.pack("<H", len(parts))),
    ]
    for tensor, message in (("token_embd.weight", "is in .*, too"), ("extra", "tensors, not")):
        head = header(one_more, [tensor_row(tensor, (8,), F32, 0)])
        parts[1].write_bytes(head + bytes(32))

        with pytest.raises(QuantError, match=message):
            convert(parts[0], tmp_path / "out.gguf")


def test_what_would_be_wrong_in_the_output_is_not_copied(tmp_path: Path) -> None:
    wrong: dict[str, Value] = {"general.alignment": 64, "localr1.quantize.kl_divergence": 0.5}
    head = header(
        [key_value(key, value) for key, value in (_KEYS | wrong).items()],
        [tensor_row("blk.0.ffn_up.weight", (32, 1), F32, 0)],
    )
    (tmp_path / "source.gguf").write_bytes(head + bytes(-len(head) % 64 + 128))

    convert(tmp_path / "source.gguf", tmp_path / "out.gguf")

    kept = read_header(tmp_path / "out.gguf").kv
    assert list(kept) == [*_KEYS, "general.quantization_version", "general.file_type"]


def test_a_key_of_the_source_is_copied_whatever_its_type(tmp_path: Path) -> None:
    odd = [
        raw_key_value("a.u8", 0, b"\x07"),
        raw_key_value("a.i64", 11, struct.pack("<q", -(2**40))),
        raw_key_value("a.nan", 6, struct.pack("<I", 0x7FC00001)),
        raw_key_value("a.bools", 9, struct.pack("<IQ", 7, 2) + b"\x01\x00"),
        raw_key_value("a.text", 8, struct.pack("<Q", 3) + b"\xff\x00\xfe"),
        raw_key_value("a.nothing", 9, struct.pack("<IQ", 8, 0)),
    ]
    named = [key_value(key, value) for key, value in _KEYS.items()]
    head = header([*odd, *named], [tensor_row("blk.0.ffn_up.weight", (32, 1), F32, 0)])
    (tmp_path / "source.gguf").write_bytes(head + bytes(128))

    convert(tmp_path / "source.gguf", tmp_path / "out.gguf")

    assert b"".join(odd) in (tmp_path / "out.gguf").read_bytes()


@pytest.mark.parametrize("is_changed", [False, True])
def test_a_gguf_that_was_cut_short_goes_on_unless_it_changed(
    is_changed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quant.output.files.MARK_EVERY_BYTES", 10_000)
    source, output = tmp_path / "source.gguf", tmp_path / "out.gguf"
    convert(write_checkpoint("qwen2_tied", tmp_path / "checkpoint"), source, file_type="F16")
    undisturbed = convert(source, tmp_path / "undisturbed.gguf", file_type="Q8_0").output

    def interrupt(progress: ConvertProgress) -> None:
        if progress.bytes_done > progress.bytes_total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(source, output, file_type="Q8_0", on_progress=interrupt)
    if is_changed:
        os.utime(source, (0, 0))
    result = convert(source, output, file_type="Q8_0")

    assert (result.bytes_kept == 0) is is_changed
    assert output.read_bytes() == undisturbed.read_bytes()
