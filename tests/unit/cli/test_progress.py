from __future__ import annotations

import json
from typing import Any

import pytest

from localr1.cli.output import Output
from localr1.cli.progress import ProgressTeller
from localr1.events import Progress
from tests.support.streams import FakeStream


class _Told:
    """What a teller says while a clock goes as it is told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, as_json: bool) -> None:
        self.now_s = 100.0
        monkeypatch.setattr("localr1.cli.output.time.monotonic", lambda: self.now_s)
        self._out, self._err = FakeStream(is_terminal=True), FakeStream(is_terminal=True)
        self.teller = ProgressTeller(Output(as_json=as_json, stdout=self._out, stderr=self._err))

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._out.getvalue().splitlines()]

    @property
    def bar(self) -> str:
        return self._err.getvalue().rpartition("\r")[2]


def _convert(done: float, n_weights: int) -> Progress:
    return Progress(stage="convert", done=done, total=100e6, unit="bytes", n_weights_done=n_weights)


def test_a_stage_is_told_at_its_start_at_its_end_and_twice_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = _Told(monkeypatch, as_json=True)

    for step in range(11):
        told.teller.show(_convert(step * 10e6, step))
        told.now_s += 0.2

    assert [event["t"] for event in told.events] == [0.0, 0.6, 1.2, 1.8, 2.0]
    assert told.events[-1]["done"] == told.events[-1]["total"] == 100e6


def test_rates_count_from_where_this_run_found_the_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    told = _Told(monkeypatch, as_json=True)

    told.teller.show(_convert(40e6, 1_000))
    told.now_s += 2
    told.teller.show(_convert(60e6, 9_000))

    first, second = told.events
    assert "per_s" not in first
    assert second["per_s"] == 10e6
    assert second["left_s"] == 4
    assert second["weights_per_s"] == 4_000
    assert second["n_weights_done"] == 9_000


def test_stages_that_overlap_do_not_disturb_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    told = _Told(monkeypatch, as_json=True)

    for step in range(3):
        told.teller.tell(Progress(stage="fetch", done=step, total=2, unit="bytes"))
        told.teller.show(Progress(stage="convert", done=10 * step, total=20, unit="bytes"))
        told.now_s += 1

    assert [(event["stage"], event.get("per_s")) for event in told.events[-2:]] == [
        ("fetch", 1.0),
        ("convert", 10.0),
    ]


def test_the_end_of_a_stage_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    told = _Told(monkeypatch, as_json=True)

    for _ in range(3):
        told.teller.tell(Progress(stage="fetch", done=2, total=2, unit="bytes"))

    assert len(told.events) == 1


def test_people_see_megabytes_and_weights_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    told = _Told(monkeypatch, as_json=False)

    told.teller.show(_convert(0, 0))
    told.now_s += 2
    told.teller.show(_convert(50e6, 80_000_000), note=", 70% fetched")

    assert "converting" in told.bar
    assert "50% 25 MB/s, 40 M weights/s, 70% fetched, 2.0 s left" in told.bar
