"""The working-set limits that llama.cpp prints on Macs, in MB of 10^6 bytes."""

from __future__ import annotations

import pytest

from localr1.hardware.apple import longest_buffer_bytes, macos_of, working_set_bytes
from localr1.hardware.catalogue import find_profile
from localr1.units import GIB

_OLDER = {
    16: 11453.25, 18: 12884.92, 24: 17179.89, 32: 22906.50, 36: 28991.03, 48: 38654.71,
    64: 51539.61, 96: 77309.41, 128: 103079.22, 192: 154618.82,
}  # fmt: skip
_NEWER = {
    16: 12713.12, 18: 14302.25, 24: 19069.67, 32: 26800.60, 36: 30150.67, 48: 40200.90,
    64: 55662.79, 128: 115448.73,
}  # fmt: skip


@pytest.mark.parametrize(("gib", "megabytes"), _OLDER.items())
def test_the_limit_before_macos_26_is_what_logs_print(gib: int, megabytes: float) -> None:
    assert working_set_bytes(gib * GIB, macos=15) / 1e6 == pytest.approx(megabytes, abs=0.03)


def test_the_longest_buffer_is_what_logs_print() -> None:
    assert longest_buffer_bytes(16 * GIB, macos=26) == pytest.approx(9_534_832_640, rel=1e-5)


@pytest.mark.parametrize(("gib", "megabytes"), _NEWER.items())
def test_the_limit_since_macos_26_is_what_logs_print(gib: int, megabytes: float) -> None:
    assert working_set_bytes(gib * GIB, macos=26) / 1e6 == pytest.approx(megabytes, abs=0.03)


def test_the_limit_can_be_raised_but_not_above_the_memory() -> None:
    assert working_set_bytes(16 * GIB, macos=15, wired_limit_mib=14 * 1024) == 14 * GIB
    assert working_set_bytes(16 * GIB, macos=15, wired_limit_mib=99 * 1024) == 16 * GIB


def test_a_mac_is_taken_to_run_the_macos_it_came_with_or_one_before_26() -> None:
    assert macos_of(find_profile("m1-max-64gb")) == 25
    assert macos_of(find_profile("m5-16gb")) == 26
