"""The numbers on screen: counted from events, frozen by statistics."""

from __future__ import annotations

import pytest

from localr1.events import Answer, Event, Phase, PhaseName, Progress, Stats, Thinking
from tui.bridge import join_pieces
from tui.meters import PhaseMeter, measured_bytes, predicted_bytes
from tui.widgets.status import Activity, Status, draw_status


def _stats() -> Stats:
    return Stats(phase=PhaseName.THINKING, n_tokens=3912, seconds=41.2, tokens_per_s=95.0)


def test_header_counts_while_the_phase_runs() -> None:
    meter = PhaseMeter(PhaseName.THINKING)

    for event in (Phase(phase=PhaseName.THINKING, t=2.0), Thinking(text="x", n_tokens=30, t=4.0)):
        meter.see(event)

    assert meter.text == "Thinking 2.0 s · 30 tok · 15 tok/s"


def test_header_is_frozen_by_the_statistics_of_its_phase() -> None:
    meter = PhaseMeter(PhaseName.THINKING)

    for event in (Thinking(text="x", t=1.0), _stats(), Answer(text="y", t=60.0)):
        meter.see(event)

    assert meter.text == "Thinking 41 s · 3,912 tok · 95 tok/s"


def test_predicted_memory_adds_devices_and_host_and_measured_adds_buffers() -> None:
    plan = {"devices": [{"weights_bytes": 5, "kv_bytes": 3, "overhead_bytes": [1, 2]}],
            "host": {"compute_bytes": 2, "kv_bytes": None}}  # fmt: skip
    measured = {"buffers": [{"n_bytes": 4}, {"n_bytes": 5}]}

    assert predicted_bytes(plan) == 10
    assert measured_bytes(measured) == 9
    assert predicted_bytes({}) is None
    assert measured_bytes({}) is None


def test_neighbouring_pieces_are_joined_and_the_order_is_kept() -> None:
    events: list[Event] = [
        Thinking(text="a", t=1.0),
        Thinking(text="b", t=2.0),
        Answer(text="c"),
        Thinking(text="d"),
        Progress(stage="load", done=1, total=3),
        Progress(stage="load", done=2, total=3),
    ]

    assert list(join_pieces(events)) == [
        Thinking(text="ab", n_tokens=2, t=2.0),
        Answer(text="c"),
        Thinking(text="d"),
        Progress(stage="load", done=2, total=3),
    ]


@pytest.mark.parametrize("width", [10, 30, 60, 80, 120])
def test_status_line_fits_its_width_and_never_drops_the_activity(width: int) -> None:
    status = Status(
        Activity.READY, "a-model-with-a-long-name", n_ctx_used=10, n_ctx=4096, tokens_per_s=12.0,
        buffer_bytes=10**9, planned_bytes=10**9, resident_bytes=10**9,
    )  # fmt: skip

    line = draw_status(status, width)

    assert line.cell_length <= width
    assert line.plain.startswith("● ready")
