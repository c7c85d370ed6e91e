from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba", reason="numba compiles the lane kernels and is not installed")

from quant.blocks.rounding import nearest_int, read_half, write_half

pytestmark = pytest.mark.timeout(120)  # the first run compiles


def _written(value: np.float32) -> int:
    out = np.zeros(2, np.uint8)
    write_half(value, out, 0)
    return int(out[0]) | int(out[1]) << 8


def test_every_half_is_read_as_numpy_reads_it() -> None:
    data = np.arange(1 << 16, dtype=np.uint16)
    expected = data.view(np.float16).astype(np.float32)

    ours = np.array([read_half(pair, 0) for pair in data.view(np.uint8).reshape(-1, 2)], np.float32)

    assert np.array_equal(ours, expected, equal_nan=True)
    assert np.array_equal(np.signbit(ours), np.signbit(expected))


def test_halves_are_written_as_numpy_writes_them() -> None:
    halves = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float32)[::7]
    middles = (halves[1:] + halves[:-1]) / np.float32(2)
    nearby = [np.nextafter(middles, np.float32(sign * np.inf)) for sign in (-1, 1)]
    values = np.concatenate([halves, middles, *nearby, [65519, 65520, 1e30, np.inf, 1e-40]])
    values = np.concatenate([values, -values]).astype(np.float32)
    with np.errstate(over="ignore"):
        expected = values.astype(np.float16).view(np.uint16)

    ours = np.array([_written(value) for value in values])

    assert np.array_equal(ours, expected)


def test_not_a_number_is_written_quiet() -> None:
    assert _written(np.float32(np.nan)) & 0x7FFF == 0x7E00


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.5, 0),
        (1.5, 2),
        (2.5, 2),
        (-0.5, 0),
        (-1.5, -2),
        (7.49, 7),
        (-7.51, -8),
        (4194303, 4194303),
    ],
)
def test_integers_are_rounded_ties_to_even(value: float, expected: int) -> None:
    assert nearest_int(np.float32(value)) == expected
