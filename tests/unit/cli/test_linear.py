from __future__ import annotations

import json
from collections.abc import Iterable

import pytest

from localr1.cli.linear import LinearSkin, ThinkingMode
from localr1.cli.output import Output
from localr1.events import (
    Answer,
    End,
    EndState,
    Error,
    Event,
    Notice,
    Phase,
    PhaseName,
    Stats,
    Thinking,
)
from tests.support.streams import FakeStream


class _Shown:
    def __init__(
        self,
        events: Iterable[Event],
        thinking: ThinkingMode = ThinkingMode.SHOW,
        *,
        is_terminal: bool = False,
        as_json: bool = False,
        verbose: bool = False,
    ) -> None:
        out, err = FakeStream(is_terminal=is_terminal), FakeStream(is_terminal=is_terminal)
        output = Output(as_json=as_json, verbose=verbose, stdout=out, stderr=err)
        skin = LinearSkin(output, thinking)
        self.codes = [skin.show(event) for event in events]
        self.stdout, self.stderr = out.getvalue(), err.getvalue()


_REPLY: list[Event] = [
    Phase(phase=PhaseName.THINKING),
    Thinking(text="\n8×3"),
    Thinking(text="=24.\n"),
    Phase(phase=PhaseName.ANSWER),
    Answer(text="\n"),
    Answer(text="\n**36"),
    Answer(text="**\n"),
    End(state=EndState.ANSWERED, reason="eog"),
]


def test_answer_goes_to_stdout_and_thinking_to_stderr() -> None:
    shown = _Shown(_REPLY)

    assert shown.stdout == "**36**\n"
    assert shown.stderr == "8×3=24.\n"
    assert set(shown.codes) == {0}


def test_hidden_thinking_is_written_nowhere() -> None:
    shown = _Shown(_REPLY, ThinkingMode.HIDE)

    assert (shown.stdout, shown.stderr) == ("**36**\n", "")


def test_only_thinking_moves_it_to_stdout() -> None:
    shown = _Shown(_REPLY, ThinkingMode.ONLY)

    assert (shown.stdout, shown.stderr) == ("8×3=24.\n", "")


def test_newlines_inside_a_stream_are_kept() -> None:
    shown = _Shown([Answer(text="a\n"), Answer(text="\n"), Answer(text="b")])

    assert shown.stdout == "a\n\nb"


def test_indentation_at_the_start_of_the_answer_is_kept() -> None:
    shown = _Shown([Answer(text="\n    x = 1"), End(state=EndState.NEVER_OPENED)])

    assert shown.stdout == "    x = 1\n"


def test_json_prints_one_event_per_line() -> None:
    shown = _Shown(_REPLY, as_json=True)

    types = [json.loads(line)["type"] for line in shown.stdout.splitlines()]
    assert types == [
        *("phase", "thinking", "thinking", "phase"),
        *("answer", "answer", "answer", "end"),
    ]
    assert shown.stderr == ""


@pytest.mark.parametrize(
    ("events", "code"),
    [
        pytest.param([End(state=EndState.CUT_OFF, reason="length")], 10, id="no answer"),
        pytest.param([End(state=EndState.CUT_OFF, reason="cancelled")], 130, id="stopped thinking"),
        pytest.param([End(state=EndState.CANCELLED)], 130, id="stopped answering"),
        pytest.param([End(state=EndState.FORCED)], 0, id="forced"),
        pytest.param(
            [Error(code="engine_died", message="gone"), End(state=EndState.FAILED)], 7, id="died"
        ),
        pytest.param(
            [Error(code="context_overflow", message="long"), End(state=EndState.FAILED)],
            8,
            id="overflow",
        ),
        pytest.param([Error(code="?", message="new"), End(state=EndState.FAILED)], 1, id="unknown"),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_end_gives_the_documented_exit_code(
    events: list[Event], code: int, *, as_json: bool
) -> None:
    assert _Shown(events, as_json=as_json).codes[-1] == code


def test_text_before_a_failure_stays_and_the_error_has_its_own_line() -> None:
    shown = _Shown(
        [
            Thinking(text="half a th"),
            Error(code="engine_died", message="killed by SIGKILL", hint="ask again"),
            End(state=EndState.FAILED, reason="error"),
        ]
    )

    assert shown.stderr == "half a th\nlocalr1: killed by SIGKILL (ask again)\n"


def test_escape_sequences_reach_neither_stream() -> None:
    shown = _Shown(
        [
            Thinking(text="a\x1b"),
            Thinking(text="]52;c;eA==\x07"),
            Answer(text="b\x9b2J"),
            Notice(code="x", message="c\x1b[31m"),
            Error(code="e", message="d\x1b]0;t\x07", hint="\x1bc"),
        ]
    )

    assert not {"\x1b", "\x07", "\x9b"} & set(shown.stdout + shown.stderr)


def test_stats_are_shown_when_verbose() -> None:
    stats = Stats(phase=PhaseName.ANSWER, n_tokens=12, seconds=2.0, tokens_per_s=6.0, n_ctx_used=99)

    assert "12 tokens in 2.0 s, 6.0 tokens/s, 99 tokens of context" in (
        _Shown([stats], verbose=True).stderr
    )
    assert _Shown([stats]).stderr == ""


_WARNING = Notice(code="memory_pressure", message="memory is short")


def test_warning_in_the_middle_of_an_answer_does_not_break_its_lines_in_a_file() -> None:
    shown = _Shown([Answer(text="one "), _WARNING, Answer(text="line"), _REPLY[-1]])

    assert shown.stdout == "one line\n"
    assert shown.stderr == "localr1: memory is short\n"


def test_warning_in_the_middle_of_an_answer_has_a_line_of_its_own_on_a_terminal() -> None:
    shown = _Shown([Answer(text="one "), _WARNING, Answer(text="line")], is_terminal=True)

    assert shown.stdout == "one \nline"


def test_warning_goes_to_json_as_it_is() -> None:
    event = json.loads(_Shown([_WARNING], as_json=True).stdout)

    assert (event["type"], event["code"]) == ("notice", "memory_pressure")


def test_plan_that_was_off_is_told_when_verbose() -> None:
    notice = Notice(code="plan_differs", message="compute on CPU took more")

    assert _Shown([notice]).stderr == ""
    assert _Shown([notice], verbose=True).stderr == "localr1: compute on CPU took more\n"
