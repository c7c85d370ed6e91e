"""The ledger of measured memory may be damaged in any way: loads and plans go on without it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localr1.ledger import read_ledger, remember
from localr1.plan.ledger import entry_from_json, factors_at
from tests.support.ledgers import an_entry, ledger_path

_GOOD = json.dumps(an_entry().to_json()).encode()


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCALR1_HOME", str(tmp_path))


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\x00" * 64,
        b"\xff\xfe not UTF-8",
        b"{",
        b"[" * 1500,
        b'{"version": 1}',
        b"1" * 2000,
        b"x" * 1_000_000,
        _GOOD.replace(b'"version": 1', b'"version": 2'),
        _GOOD.replace(b"1200000", b"9" * 1000),
        _GOOD.replace(b"1200000", b"1e308"),
        _GOOD.replace(b"1200000", b"NaN"),
        _GOOD.replace(b'"qwen2"', b'{"a": []}'),
    ],
    ids=lambda line: repr(line[:20]),
)
def test_a_broken_line_is_skipped(line: bytes) -> None:
    ledger_path().write_bytes(_GOOD + b"\n" + line + b"\n" + _GOOD + b"\n")

    assert set(read_ledger()) == {an_entry()}


_CALM = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
)


@_CALM
@given(st.integers(0, len(_GOOD) - 1), st.integers(0, 255))
def test_any_byte_may_be_another(place: int, value: int) -> None:
    line = _GOOD[:place] + bytes([value]) + _GOOD[place + 1 :]
    ledger_path().write_bytes(line + b"\n")

    entries = read_ledger()

    for factor in factors_at(an_entry().where, entries).values():
        assert 1 / 16 <= factor.value <= 16


_KEYS = st.sampled_from([*an_entry().to_json()])


@_CALM
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
        lambda inner: st.lists(inner) | st.dictionaries(_KEYS, inner),
        max_leaves=12,
    )
)
def test_any_document_is_an_entry_or_none(document: object) -> None:
    entry = entry_from_json(document)

    assert entry is None or entry_from_json(entry.to_json()) == entry


def test_a_file_that_grew_far_too_big_is_read_from_its_end() -> None:
    ledger_path().write_bytes((b"x" * 1000 + b"\n") * 5000 + _GOOD + b"\n")

    assert read_ledger() == (an_entry(),)
    assert remember([an_entry()])
    assert ledger_path().stat().st_size < 256 * 1024
    assert read_ledger() == (an_entry(), an_entry())


def test_a_directory_in_its_place_is_done_without() -> None:
    ledger_path().mkdir()

    assert read_ledger() == ()
    assert not remember([an_entry()])


def test_a_pipe_in_its_place_blocks_nobody() -> None:
    os.mkfifo(ledger_path())

    assert read_ledger() == ()
    assert not remember([an_entry()])


def test_a_home_that_cannot_be_made_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("LOCALR1_HOME", str(tmp_path / "file"))

    assert read_ledger() == ()
    assert not remember([an_entry()])
