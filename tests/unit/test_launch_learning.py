"""What a load teaches the plans that follow."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from backends.parameters import EngineParameters
from localr1.errors import EngineDiedError
from localr1.events import Notice
from localr1.worker.frames import LoadReport, MeasuredBuffer
from tests.support.launches import CARD, CPU, OPTIONS, LoadableEngine, launch_of


@dataclass
class _GreedyEngine(LoadableEngine):
    """Takes more for the cache than any formula says."""

    kv_bytes: int = 40 * 1024**2

    def load(self, parameters: EngineParameters, /) -> Generator[float, None, LoadReport]:
        report = yield from super().load(parameters)
        buffer = MeasuredBuffer(device="CPU", purpose="kv", n_bytes=self.kv_bytes)
        return replace(report, buffers=(buffer,))


def test_what_a_load_took_is_told_and_the_next_plan_counts_with_it(
    r1_nano: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCALR1_HOME", str(tmp_path))
    options = replace(OPTIONS, n_ctx=8192)  # 24 MiB
    _, first = launch_of(r1_nano, _GreedyEngine(), options=options)
    _, second = launch_of(r1_nano, _GreedyEngine(), options=options)

    (notice,) = [event for event in first()[0] if isinstance(event, Notice)]
    events, opened = second()

    assert notice.code == "plan_differs"
    assert notice.message == (
        "kv on CPU took 40 MiB, 67 % more than planned; the next plan counts with it"
    )
    assert not [event for event in events if isinstance(event, Notice)]
    assert opened.load_event.plan["host"]["kv_bytes"] == 40 * 1024**2
    note = "kv on CPU was 67 % more than planned in 1 load here: counted"
    assert note in opened.load_event.plan["notices"]


def test_a_fallback_is_not_held_against_the_plan(
    r1_nano: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCALR1_HOME", str(tmp_path))
    failure = EngineDiedError("killed by SIGABRT")
    failing = LoadableEngine(devices=(CPU, CARD), failure=failure)
    _, run = launch_of(r1_nano, failing, _GreedyEngine(devices=(CPU, CARD)))

    events, _ = run()

    assert [event.code for event in events if isinstance(event, Notice)] == ["cpu_fallback"]
