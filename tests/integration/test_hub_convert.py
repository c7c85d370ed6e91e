"""`localr1 convert user/repo` against a hub on the loopback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from localr1.cli.main import run
from quant.pipeline import convert
from tests.support.hub_checkpoints import hub_with, sharded_checkpoint
from tests.support.hub_server import FakeHub, Mishap, serving

_ROOT = Path(__file__).parents[2]

_IMPATIENT = """
import sys
from localr1.hub import retries
from quant.output import files as output_files
retries.DELAYS_S = (0.0,)
output_files.MARK_EVERY_BYTES = 50_000
mark = output_files.OutputWriter.mark
def mark_at_once(self, *arguments):
    mark(self, *arguments)
    self._await_flush()
output_files.OutputWriter.mark = mark_at_once
from localr1.cli.main import run
sys.exit(run(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sharded_checkpoint(tmp_path_factory.mktemp("sources"), n_shards=5)


@pytest.fixture(scope="module")
def expected(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What converting the same files from the disk gives."""
    output = tmp_path_factory.mktemp("local") / "model.gguf"
    convert(checkpoint, output)
    return output.read_bytes()


@pytest.fixture
def hub(checkpoint: Path) -> Iterator[FakeHub]:
    with serving(hub_with(checkpoint)) as running:
        yield running


@pytest.fixture(autouse=True)
def here(hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "HF_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    monkeypatch.setenv("LOCALR1_HOME", str(tmp_path / "home"))
    directory = tmp_path / "here"
    directory.mkdir()
    monkeypatch.chdir(directory)
    return directory


def _convert(*arguments: str) -> int:
    return run(["convert", "--no-verify", *arguments])


def _shards(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "home").rglob("*.safetensors"))


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _IMPATIENT, "convert", "--no-verify", *arguments],
        capture_output=True, text=True, check=False, timeout=60,
        env=os.environ | {"PYTHONPATH": str(_ROOT)},
    )  # fmt: skip


@pytest.mark.parametrize("source", ["someone/odd-rows", "hf.co/someone/odd-rows@v1"])
def test_a_repository_becomes_the_same_file_as_its_directory(
    source: str, here: Path, hub: FakeHub, expected: bytes, tmp_path: Path
) -> None:
    assert _convert(source) == 0

    assert (here / "odd-rows-Q4_K_M.gguf").read_bytes() == expected
    assert len(_shards(tmp_path)) == 5
    revision = "v1" if "@" in source else "main"
    assert hub.requests[0][0] == f"/api/models/someone/odd-rows/revision/{revision}"
    assert all(hub.commit in path for path, _ in hub.requests if "/resolve/" in path)


def test_shards_that_were_fetched_are_not_fetched_again(hub: FakeHub) -> None:
    _convert("someone/odd-rows", "-q", "F16")
    hub.requests.clear()

    assert _convert("someone/odd-rows", "-q", "Q8_0") == 0

    fetches = [h for h in hub.asked("/cdn/") if not h.get("range", "").startswith("bytes=0-")]
    assert fetches == []


def test_used_shards_are_deleted_if_the_user_wants(
    here: Path, expected: bytes, tmp_path: Path
) -> None:
    assert _convert("someone/odd-rows", "--delete-shards") == 0

    assert (here / "odd-rows-Q4_K_M.gguf").read_bytes() == expected
    assert _shards(tmp_path) == []


def test_shards_on_the_users_own_disk_are_not_deleted(
    checkpoint: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _convert(str(checkpoint), "--delete-shards") == 2

    assert "delete it yourself" in capsys.readouterr().err
    assert list(here.iterdir()) == []


def test_a_hub_that_does_not_answer_at_once_is_asked_again(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    slept: list[float] = []
    monkeypatch.setattr("localr1.cli.checkpoint_source.time.sleep", slept.append)
    hub.mishaps = [Mishap("/api/", status=503, headers={"Retry-After": "3"})]

    assert _convert("someone/odd-rows", "--dry-run") == 0

    assert slept == [3.0]
    assert "again in 3 s" in capsys.readouterr().err


def test_a_dry_run_fetches_headers_alone(
    here: Path, hub: FakeHub, expected: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _convert("someone/odd-rows", "--dry-run", "--json") == 0

    assert json.loads(capsys.readouterr().out)["bytes"] == len(expected)
    assert list(here.iterdir()) == []
    assert all(headers["range"].startswith("bytes=0-") for headers in hub.asked("/cdn/model-0"))


def test_offline_is_a_refusal_that_asks_nobody(
    hub: FakeHub, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    by_option = _convert("someone/odd-rows", "--offline")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    by_environment = _convert("someone/odd-rows")

    assert [by_option, by_environment] == [5, 5]
    assert capsys.readouterr().err.count("\n") == 2
    assert hub.requests == []


def test_a_path_that_exists_wins_also_without_a_network(
    checkpoint: Path, here: Path, hub: FakeHub
) -> None:
    (here / "someone").mkdir()
    (here / "someone" / "odd-rows").symlink_to(checkpoint)

    assert _convert("someone/odd-rows", "--offline") == 0

    assert hub.requests == []


@pytest.mark.parametrize("option", [[], ["--delete-shards"]], ids=["kept", "deleted"])
def test_a_network_lost_in_the_middle_is_one_line_and_the_same_command_goes_on(
    option: list[str], here: Path, hub: FakeHub, expected: bytes
) -> None:
    lost = f"/cdn/{sorted(hub.files)[3]}"
    assert "model-" in lost
    hub.mishaps = [Mishap(lost, cut_after=10**9), *(Mishap(lost, cut_after=0) for _ in range(9))]

    broken = _run("someone/odd-rows", *option)
    kept = sorted(path.name for path in here.iterdir())
    hub.mishaps = []
    went_on = _run("someone/odd-rows", *option)

    assert broken.returncode == 5
    assert broken.stderr.splitlines()[-1].startswith("localr1: the connection")
    assert kept == [".odd-rows-Q4_K_M.gguf.1.part", ".odd-rows-Q4_K_M.gguf.journal"]
    assert went_on.returncode == 0
    assert "were kept from an earlier run" in went_on.stderr
    assert (here / "odd-rows-Q4_K_M.gguf").read_bytes() == expected


@pytest.mark.parametrize(
    ("told", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -9)]
)
def test_an_end_in_the_middle_of_a_shard_leaves_what_the_same_command_goes_on_with(
    told: signal.Signals, code: int, here: Path, hub: FakeHub, expected: bytes
) -> None:
    running: list[subprocess.Popen[str]] = []

    def end(body: bytes) -> bytes:
        running[0].send_signal(told)
        return body[: len(body) // 2]

    shard = f"/cdn/{sorted(hub.files)[2]}"
    hub.mishaps = [Mishap(shard, cut_after=10**9), Mishap(shard, change=end)]
    command = [sys.executable, "-c", _IMPATIENT, "convert", "--no-verify", "someone/odd-rows"]
    environment = os.environ | {"PYTHONPATH": str(_ROOT)}
    running.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment))
    _, stderr = running[0].communicate(timeout=60)
    went_on = _run("someone/odd-rows")

    assert running[0].returncode == code
    assert ("what was fetched was kept" in stderr) is (code == 130)
    assert went_on.returncode == 0
    assert (here / "odd-rows-Q4_K_M.gguf").read_bytes() == expected


def test_shards_that_changed_at_the_hub_start_the_output_anew(
    here: Path, hub: FakeHub, checkpoint: Path, tmp_path: Path
) -> None:
    lost = f"/cdn/{sorted(hub.files)[3]}"
    hub.mishaps = [Mishap(lost, cut_after=10**9), *(Mishap(lost, cut_after=0) for _ in range(9))]
    broken = _run("someone/odd-rows", "--delete-shards")
    hub.mishaps = []
    shard = sorted(hub.files)[1]
    hub.files[shard] = hub.files[shard][:-2] + b"\x01\x00"
    hub.commit = "f" * 40
    changed = tmp_path / "changed" / "odd-rows"
    changed.mkdir(parents=True)
    for name, content in hub.files.items():
        (changed / name).write_bytes(content)
    convert(changed, tmp_path / "changed.gguf")

    went_on = _run("someone/odd-rows", "--delete-shards")

    assert broken.returncode == 5
    assert went_on.returncode == 0
    assert (here / "odd-rows-Q4_K_M.gguf").read_bytes() == (tmp_path / "changed.gguf").read_bytes()


def test_fetching_is_told_as_events(capsys: pytest.CaptureFixture[str]) -> None:
    assert _convert("someone/odd-rows", "--json", "-q", "Q8_0") == 0

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    fetched = [line for line in lines if line.get("stage") == "fetch"]
    assert {line["type"] for line in lines[:-1]} == {"progress"}
    assert lines[-1]["type"] == "result"
    assert fetched[-1]["done"] == fetched[-1]["total"] > fetched[0]["done"]
    assert {line["unit"] for line in fetched} == {"bytes"}


def test_a_gated_repository_opens_with_a_token_that_only_the_hub_sees(
    hub: FakeHub, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.token = "hf_secret"  # noqa: S105 - opens nothing

    refused = _convert("someone/odd-rows")
    told = capsys.readouterr().err
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    opened = _convert("someone/odd-rows", "-v")

    assert [refused, opened] == [3, 0]
    assert "set HF_TOKEN" in told
    assert "hf_secret" not in capsys.readouterr().err
    carried = [path for path, headers in hub.requests if "authorization" in headers]
    assert carried
    assert all(path.startswith("/someone/odd-rows/resolve/") for path in carried)


def test_states_that_two_newer_ones_replaced_leave_the_cache(
    hub: FakeHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for commit in "abc":
        hub.commit = commit * 40
        assert _convert("someone/odd-rows", "-q", "Q8_0", "--force") == 0
    told = capsys.readouterr().err

    kept = {path.parent.parent.name[0] for path in _shards(tmp_path)}
    assert kept == {"b", "c"}
    assert told.count("an older state of someone/odd-rows") == 1
