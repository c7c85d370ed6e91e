from __future__ import annotations

import pytest

from localr1.cli.output import Output
from localr1.errors import UsageError
from tests.support.streams import FakeStream


def _output(*, is_terminal: bool = False, quiet: bool = False) -> tuple[Output, FakeStream]:
    err = FakeStream(is_terminal=is_terminal)
    return Output(quiet=quiet, stdout=FakeStream(is_terminal=is_terminal), stderr=err), err


def test_progress_is_drawn_on_a_terminal_and_taken_away() -> None:
    output, err = _output(is_terminal=True)

    output.progress("loading", 1, 2)
    output.narrate("done")

    assert "50%" in err.getvalue()
    assert err.getvalue().endswith("\r\x1b[Kdone\n")


def test_time_left_of_work_that_goes_on_counts_from_where_it_was_cut_short(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output, err = _output(is_terminal=True)
    clock = iter([100.0, 110.0])
    monkeypatch.setattr("localr1.cli.output.time.monotonic", lambda: next(clock))

    output.progress("converting", 50, 100)
    output.progress("converting", 60, 100)

    assert "40 s left" in err.getvalue()


@pytest.mark.parametrize("quiet", [True, False])
def test_progress_is_silent_off_a_terminal_or_when_quiet(*, quiet: bool) -> None:
    output, err = _output(is_terminal=quiet, quiet=quiet)

    output.progress("loading", 1, 2)

    assert err.getvalue() == ""


def test_an_error_is_one_line_even_when_quiet() -> None:
    output, err = _output(quiet=True)

    output.error(UsageError("first\nsecond", hint="do\nthis"))

    assert err.getvalue() == "localr1: first second (do this)\n"


def test_no_color_keeps_style_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    output, err = _output(is_terminal=True)

    output.narrate("plain", style="dim")

    assert err.getvalue() == "plain\n"
