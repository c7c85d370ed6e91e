"""`localr1 imatrix` on a real model, in a process of its own: what goes wrong leaves nothing."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quant.gguf.header import read_header
from tests.support.command_line import COMMAND, environment, kill_engine, localr1, start
from tests.support.importance_files import arithmetic
from tests.support.models import R1_NANO_CHECKPOINT


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(arithmetic() * 20, encoding="utf-8")
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    directory = tmp_path / "out"
    directory.mkdir()
    return directory


def _events(run: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    assert run.stdout is not None
    yield from map(json.loads, run.stdout)


def test_events_end_with_the_result_and_it_gets_a_name_of_its_own(
    r1_nano: Path, text: Path, out: Path, tmp_path: Path
) -> None:
    size = ("--ctx", "64", "--chunks", "4", "--threads", "1")

    run = localr1("imatrix", r1_nano, text, "-o", out, "--json", *size, home=tmp_path)

    events = [json.loads(line) for line in run.stdout.splitlines()]
    measuring = [event for event in events if event.get("stage") == "measure"]
    assert run.code == 0
    assert [event["done"] for event in measuring] == [0, 1, 2, 3, 4]
    assert events[-1] == {
        "type": "result",
        "t": events[-1]["t"],
        "output": str(out / "r1-nano-Q4_K_M-imatrix.gguf"),
        "n_weights": 42,
        "n_chunks": 4,
        "n_tokens": 256,
        "n_experts_missed": 0,
    }
    assert [path.name for path in out.iterdir()] == ["r1-nano-Q4_K_M-imatrix.gguf"]


def test_text_may_come_through_a_pipe(r1_nano: Path, out: Path, tmp_path: Path) -> None:
    size = ("--ctx", "32", "--chunks", "2", "--threads", "1")

    run = localr1(
        "imatrix", r1_nano, "-", "-o", out / "a.gguf", *size, home=tmp_path, stdin=arithmetic()
    )

    assert (run.code, run.stdout) == (0, f"{out / 'a.gguf'}\n"), run.stderr


def test_text_too_short_is_told_how_many_tokens_are_needed(
    r1_nano: Path, out: Path, tmp_path: Path
) -> None:
    run = localr1(
        "imatrix", r1_nano, "-", "-o", out / "a.gguf", home=tmp_path, stdin="What is 7 × 6?"
    )

    assert (run.code, run.stdout) == (2, "")
    assert "1024 are needed for chunks of 512" in run.stderr.splitlines()[-1]
    assert list(out.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "says"),
    [(b" \n", "is empty"), (b"abc \xff", "not UTF-8 text"), (b"x" * (4 * 2**20 + 1), "more than")],
    ids=["empty", "bytes", "long"],
)
def test_what_is_no_usable_text_is_refused(
    content: bytes, says: str, r1_nano: Path, out: Path, tmp_path: Path
) -> None:
    (tmp_path / "text").write_bytes(content)

    run = localr1("imatrix", r1_nano, tmp_path / "text", "-o", out / "a.gguf", home=tmp_path)

    assert (run.code, run.stdout) == (2, "")
    assert len(run.stderr.splitlines()) == 1
    assert says in run.stderr


def test_absent_text_and_output_that_exists_are_refused(
    r1_nano: Path, text: Path, out: Path, tmp_path: Path
) -> None:
    (out / "a.gguf").write_text("mine", encoding="utf-8")

    absent = localr1("imatrix", r1_nano, out / "absent.txt", home=tmp_path)
    exists = localr1("imatrix", r1_nano, text, "-o", out / "a.gguf", home=tmp_path)

    assert (absent.code, exists.code) == (3, 2)
    assert "there is no text" in absent.stderr
    assert "--force" in exists.stderr
    assert (out / "a.gguf").read_text(encoding="utf-8") == "mine"


def test_the_model_is_not_written_over_even_if_told_to(
    r1_nano: Path, text: Path, tmp_path: Path
) -> None:
    before = r1_nano.read_bytes()

    run = localr1("imatrix", r1_nano, text, "-o", r1_nano, "--force", home=tmp_path)

    assert run.code == 2
    assert "would be written over" in run.stderr
    assert r1_nano.read_bytes() == before


def test_killed_engine_is_one_line_and_leaves_nothing(
    r1_nano: Path, text: Path, out: Path, tmp_path: Path
) -> None:
    run = start("imatrix", r1_nano, text, "-o", out / "a.gguf", "--json", home=tmp_path)
    events = []
    for event in _events(run):
        events.append(event)
        if event.get("stage") == "measure" and event["done"] == 1:
            kill_engine(run.pid)
            break
    events += _events(run)
    _, stderr = run.communicate()

    assert run.returncode == 7
    assert events[-1]["code"] == "engine_died"
    assert "SIGKILL" in events[-1]["message"]
    assert len(stderr.splitlines()) == 1
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_leaves_nothing(
    number: signal.Signals, r1_nano: Path, text: Path, out: Path, tmp_path: Path
) -> None:
    run = start("imatrix", r1_nano, text, "-o", out / "a.gguf", "--json", home=tmp_path)
    for event in _events(run):
        if event.get("stage") == "measure" and event["done"] == 1:
            run.send_signal(number)
            break
    _, stderr = run.communicate()

    assert run.returncode == 130
    assert stderr.strip() == "localr1: interrupted"
    assert list(out.iterdir()) == []


def test_result_leads_a_conversion(r1_nano: Path, out: Path, tmp_path: Path) -> None:
    size = ("--ctx", "32", "--chunks", "2", "--threads", "1")
    localr1("imatrix", r1_nano, "-", "-o", out / "i.gguf", *size, home=tmp_path, stdin=arithmetic())
    checkpoint, target = R1_NANO_CHECKPOINT, out / "model.gguf"
    options = ("-q", "Q4_0", "-o", target, "--no-verify", "-v", "--imatrix")

    run = localr1("convert", checkpoint, *options, out / "i.gguf", home=tmp_path)
    absent = localr1("convert", checkpoint, *options, out / "absent.gguf", home=tmp_path)

    assert (run.code, run.stdout) == (0, f"{target}\n"), run.stderr
    assert "42 of them led by the importance matrix" in run.stderr
    assert read_header(target).kv["quantize.imatrix.dataset"] == "-"
    assert absent.code == 3
    assert f"there is no importance matrix {out / 'absent.gguf'}" in absent.stderr


def test_full_disk_leaves_nothing(r1_nano: Path, text: Path, out: Path, tmp_path: Path) -> None:
    size = ["--ctx", "32", "--chunks", "2", "--threads", "1"]
    limited = ["sh", "-c", 'ulimit -f 8; exec "$@"', "sh"]  # blocks of 512 bytes

    run = subprocess.run(
        [*limited, *COMMAND, "imatrix", str(r1_nano), str(text), "-o", str(out / "a.gguf"), *size],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 9, run.stderr
    assert "disk" in run.stderr
    assert list(out.iterdir()) == []
