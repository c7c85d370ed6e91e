"""`localr1 ask` and `demo` on a real model, in a process of their own."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.command_line import COMMAND, environment, kill_engine, localr1, start

# endless thinking: so hot that the model never finds its closing tag
_RAMBLING = ("--temp", "5", "--top-k", "0", "--top-p", "1", "--seed", "7")


def test_demo_once_thinks_on_stderr_and_answers_on_stdout(tmp_path: Path) -> None:
    run = localr1("demo", "--once", "What is 12 + 8 * 3?", "--temp", "0", home=tmp_path)

    assert run.code == 0
    assert run.stdout == "The answer is **36**.\n"
    assert "First, 8×3=24." in run.stderr
    assert "<think>" not in run.stdout + run.stderr


def test_demo_without_a_terminal_asks_one_question_and_converts_only_once(tmp_path: Path) -> None:
    first = localr1("demo", "--temp", "0", home=tmp_path)
    (gguf,) = tmp_path.rglob("*.gguf")
    converted_ns = gguf.stat().st_mtime_ns
    second = localr1("demo", "--temp", "0", home=tmp_path)

    assert (first.code, second.code) == (0, 0)
    assert first.stdout == second.stdout
    assert gguf.stat().st_mtime_ns == converted_ns


def test_demo_prints_the_plan_and_what_was_measured(tmp_path: Path) -> None:
    run = localr1("demo", "--once", "hi", home=tmp_path)

    assert "fits, " in run.stderr
    assert "PLANNED" in run.stderr
    assert "kv        CPU        6.0 MiB   6.0 MiB  as planned" in run.stderr


def test_json_is_one_event_per_line_that_ends_with_end(r1_nano: Path, tmp_path: Path) -> None:
    run = localr1("ask", r1_nano, "7 * 6", "--temp", "0", "--json", home=tmp_path)

    events = [json.loads(line) for line in run.stdout.splitlines()]
    types = [event["type"] for event in events]
    assert run.code == 0
    assert all(event["t"] >= 0 for event in events)
    assert types.count("load") == 1
    assert types[-1] == "end"
    assert events[-1]["state"] == "answered"
    thinking = "".join(event["text"] for event in events if event["type"] == "thinking")
    answer = "".join(event["text"] for event in events if event["type"] == "answer")
    assert "7×6=42" in thinking
    assert answer.strip() == "**42**"
    phases = {event["phase"] for event in events if event["type"] == "stats"}
    assert phases == {"prompt", "thinking", "answer"}


def test_question_comes_through_a_pipe(r1_nano: Path, tmp_path: Path) -> None:
    run = localr1("ask", r1_nano, "--temp", "0", home=tmp_path, stdin="What is 20 + 22?\n")

    assert run.code == 0
    assert "**42**" in run.stdout


def test_thinking_can_be_hidden_or_be_all_there_is(r1_nano: Path, tmp_path: Path) -> None:
    question = ("ask", r1_nano, "What is 12 + 8 * 3?", "--temp", "0", "--thinking")

    hidden = localr1(*question, "hide", home=tmp_path)
    only = localr1(*question, "only", home=tmp_path)

    assert (hidden.stdout, hidden.stderr) == ("The answer is **36**.\n", "")
    assert "8×3=24" in only.stdout
    assert "**" not in only.stdout + only.stderr


def test_verbose_shows_predicted_beside_measured(r1_nano: Path, tmp_path: Path) -> None:
    run = localr1("ask", r1_nano, "hi", "-v", home=tmp_path)

    assert "PLANNED" in run.stderr
    assert "tokens/s" in run.stderr


def test_thinking_that_uses_up_the_budget_is_exit_code_10(r1_nano: Path, tmp_path: Path) -> None:
    run = localr1("ask", r1_nano, "What is 12 + 8 * 3?", "--max-tokens", "5", home=tmp_path)

    assert (run.code, run.stdout) == (10, "")
    assert run.stderr.splitlines()[-1] == (
        "localr1: stopped while thinking (length); there is no answer"
    )


def test_prompt_longer_than_the_context_is_exit_code_8(r1_nano: Path, tmp_path: Path) -> None:
    run = localr1("ask", r1_nano, "-", "--ctx", "256", home=tmp_path, stdin="one two " * 300)

    assert (run.code, run.stdout) == (8, "")
    assert "the context holds 256" in run.stderr.splitlines()[-1]


def test_reader_that_leaves_stops_the_program_without_a_word(r1_nano: Path, tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)  # a reader that is gone, as after `| head -1`
    with subprocess.Popen(
        [*COMMAND, "ask", str(r1_nano), "What is 12 + 8 * 3?"],
        stdin=subprocess.DEVNULL,
        stdout=write_end,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(tmp_path),
    ) as run:
        os.close(write_end)
        _, stderr = run.communicate()

    assert run.returncode == 130
    assert "localr1:" not in stderr
    assert "Traceback" not in stderr


def test_killed_engine_is_one_line_and_what_was_said_stays(r1_nano: Path, tmp_path: Path) -> None:
    run = start("ask", r1_nano, "What is 12 + 8 * 3?", "--json", *_RAMBLING, home=tmp_path)
    assert run.stdout is not None
    events = []
    for line in run.stdout:
        events.append(json.loads(line))
        if events[-1]["type"] == "thinking":
            kill_engine(run.pid)
            break
    events += [json.loads(line) for line in run.stdout]
    _, stderr = run.communicate()

    assert run.returncode == 7
    assert [event["type"] for event in events[-2:]] == ["error", "end"]
    assert events[-1]["state"] == "failed"
    assert "SIGKILL" in events[-2]["message"]
    assert "Traceback" not in stderr


def test_interrupt_stops_the_reply_and_is_exit_code_130(r1_nano: Path, tmp_path: Path) -> None:
    run = start("ask", r1_nano, "What is 12 + 8 * 3?", "--json", *_RAMBLING, home=tmp_path)
    assert run.stdout is not None
    for line in run.stdout:
        if json.loads(line)["type"] == "thinking":
            run.send_signal(signal.SIGINT)
            break
    events = [json.loads(line) for line in run.stdout]
    run.communicate()

    assert run.returncode == 130
    assert events[-1]["type"] == "end"
    assert events[-1]["reason"] == "cancelled"


def test_plain_chat_remembers_and_forgets(r1_nano: Path, tmp_path: Path) -> None:
    script = "What is 12 + 8 * 3?\n/clear\nWhat is 20 + 22?\n/nonsense\n/exit\n"

    run = localr1("chat", r1_nano, "--plain", "--temp", "0", home=tmp_path, stdin=script)

    assert run.code == 0
    assert run.stdout.startswith("The answer is **36**.\n**42**")
    assert "thinking:" in run.stderr
    assert "answer:" in run.stderr
    assert "no command /nonsense" in run.stderr


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        pytest.param(("ask", "absent.gguf", "hi"), 3, "no model absent.gguf", id="no such model"),
        pytest.param(("ask", "tests", "hi"), 2, "localr1 convert tests", id="directory"),
        pytest.param(("ask", "README.md", "hi"), 6, "README.md", id="no GGUF"),
        pytest.param(("ask", "demo", "hi", "--kv", "q9"), 2, "q9", id="unknown cache type"),
        pytest.param(("ask", "demo", "hi", "--device", "cuda7"), 3, "CPU", id="unknown device"),
        pytest.param(("ask", "demo", "hi", "--temp", "hot"), 2, "hot", id="bad number"),
        pytest.param(("ask", "demo", "hi", "--temp", "nan"), 2, "nan", id="not a number"),
        pytest.param(("ask", "demo", "hi", "--stop", ""), 2, "--stop", id="nothing to stop at"),
        pytest.param(("demo", "--once", " "), 2, "empty", id="empty question"),
        pytest.param(("convert", "tests", "-q", "Q9"), 2, "Q4_K_M", id="unknown type"),
        pytest.param(("chat", "demo"), 2, "--plain", id="interface without a terminal"),
        pytest.param(("nonsense",), 2, "nonsense", id="unknown verb"),
    ],
)
def test_bad_input_is_one_line_with_its_exit_code(
    args: tuple[str, ...], code: int, says: str, tmp_path: Path
) -> None:
    run = localr1(*args, home=tmp_path)

    assert run.code == code
    assert run.stdout == ""
    assert len(run.stderr.splitlines()) == 1
    assert run.stderr.startswith("localr1: ")
    assert says in run.stderr


@pytest.mark.parametrize(
    ("redirection", "code"),
    [
        pytest.param("2>/dev/full", 0, id="no room for the narration"),
        pytest.param("2>&-", 0, id="stderr closed"),
        pytest.param(">/dev/full", 9, id="no room for the answer"),
    ],
)
def test_streams_that_take_nothing_are_no_bug(
    redirection: str, code: int, r1_nano: Path, tmp_path: Path
) -> None:
    command = shlex.join([*COMMAND, "ask", str(r1_nano), "What is 12 + 8 * 3?", "--temp", "0"])

    run = subprocess.run(
        ["sh", "-c", f"{command} {redirection}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=environment(tmp_path),
        check=False,
    )

    assert run.returncode == code
    assert run.stdout == ("The answer is **36**.\n" if code == 0 else "")
    assert "bug" not in run.stderr


def test_cache_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "localr1").write_text("a file where a directory should be")

    run = localr1("ask", "demo", "hi", home=tmp_path)

    assert run.code == 2
    assert "LOCALR1_HOME" in run.stderr
    assert len(run.stderr.splitlines()) == 1
