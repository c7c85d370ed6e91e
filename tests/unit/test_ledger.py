"""The file in which a machine remembers what loads took."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from localr1.ledger import read_ledger, remember
from localr1.plan.ledger import Entry
from tests.support.ledgers import an_entry, ledger_path


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCALR1_HOME", str(tmp_path))


def _many(start: int, count: int) -> list[Entry]:
    return [replace(an_entry(), measured_bytes=10**6 + i) for i in range(start, start + count)]


def test_a_machine_that_loaded_nothing_remembers_nothing() -> None:
    assert read_ledger() == ()


def test_entries_come_back_in_the_order_in_which_they_were_kept() -> None:
    assert remember(_many(0, 2))
    assert remember(_many(2, 1))

    assert read_ledger() == tuple(_many(0, 3))


def test_the_file_is_for_its_owner_only() -> None:
    remember([an_entry()])

    assert ledger_path().stat().st_mode & 0o777 == 0o600


def test_the_file_stays_small_and_keeps_the_newest() -> None:
    for start in range(0, 2000, 100):
        remember(_many(start, 100))

    kept = read_ledger()
    assert ledger_path().stat().st_size < 256 * 1024
    assert kept[-1] == _many(1999, 1)[0]
    assert kept == tuple(_many(2000 - len(kept), len(kept)))
    assert [path.name for path in ledger_path().parent.iterdir()] == [ledger_path().name]


def test_a_line_that_a_crash_cut_off_does_not_spoil_the_next() -> None:
    remember([an_entry()])
    whole = ledger_path().read_bytes()
    ledger_path().write_bytes(whole + whole.strip()[:50])

    remember([an_entry()])

    assert read_ledger() == (an_entry(), an_entry())
