"""Hubs that lie, lead astray or never end: one typed error each, and nothing half-written."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from localr1.errors import DownloadError, LocalR1Error, ModelFileError, NetworkError
from localr1.hub.access import HubAccess
from localr1.hub.checkpoint import hub_checkpoint
from localr1.hub.names import RepositoryName
from quant.errors import CheckpointDamagedError, QuantError
from quant.pipeline import convert
from tests.support.hub_checkpoints import hub_with, sharded_checkpoint
from tests.support.hub_clients import FakeSleep
from tests.support.hub_server import FakeHub, Mishap, serving

_SHARD = "model-00001-of-00002.safetensors"
_INDEX = "model.safetensors.index.json"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sharded_checkpoint(tmp_path_factory.mktemp("sources"), n_shards=2)


@pytest.fixture
def hub(checkpoint: Path) -> Iterator[FakeHub]:
    with serving(hub_with(checkpoint)) as running:
        yield running


def _refusal(hub: FakeHub, tmp_path: Path) -> LocalR1Error | QuantError:
    """Convert, see that it fails with nothing left under the output's name, hand the error over."""
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    with (
        pytest.raises((LocalR1Error, QuantError)) as caught,
        hub_checkpoint(
            RepositoryName("someone", "odd-rows"),
            HubAccess(hub.endpoint),
            tmp_path / "cache",
            sleep=FakeSleep(),
        ) as found,
    ):
        convert(found.directory, outputs / "model.gguf", store=found.shards)
    assert list(outputs.iterdir()) == []
    error = caught.value
    assert isinstance(error, LocalR1Error | QuantError)
    assert "\n" not in error.message
    return error


_ANYWHERE = {
    "loop": ("/resolve/", "/someone/odd-rows/resolve/COMMIT/config.json", "address to address"),
    "file": ("/resolve/", "file:///etc/passwd", "does not follow"),
    "ftp": ("/resolve/", "ftp://127.0.0.1/x", "does not follow"),
    "password": ("/resolve/", "http://user:pw@127.0.0.1/x", "does not follow"),
    "nowhere": ("/resolve/", "", "does not follow"),
    "nonsense": ("/api/", "http://127.0.0.1:port/", "redirects to"),
}


@pytest.mark.parametrize("case", _ANYWHERE)
def test_a_redirect_that_leads_astray_is_not_followed(
    case: str, hub: FakeHub, tmp_path: Path
) -> None:
    path, target, words = _ANYWHERE[case]
    location = target.replace("COMMIT", hub.commit)
    hub.mishaps = [Mishap(path, status=302, headers={"Location": location}) for _ in range(20)]

    error = _refusal(hub, tmp_path)

    assert isinstance(error, DownloadError)
    assert words in error.message


_LISTINGS = {
    "no json": b"<html>It works</html>",
    "deep": b'{"siblings":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    "long": b"[" + b" " * 9 * 1024**2 + b"]",
    "a list": b"[]",
    "no commit": b'{"siblings": []}',
    "a branch for a commit": b'{"sha": "../../x", "siblings": []}',
    "no files": b'{"sha": "' + b"0" * 40 + b'"}',
    "too many files": json.dumps({"sha": "0" * 40, "siblings": [{}] * 20_001}).encode(),
    "twice the same key": b'{"sha": "1", "sha": "2"}',
    "not text": b'{"sha": "\xff"}',
}


@pytest.mark.parametrize("case", _LISTINGS)
def test_a_listing_that_makes_no_sense_is_refused(case: str, hub: FakeHub, tmp_path: Path) -> None:
    hub.mishaps = [Mishap("/api/", status=200, body=_LISTINGS[case])]

    assert isinstance(_refusal(hub, tmp_path), DownloadError)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("shard", ["../../../etc/passwd", "/etc/passwd", "a/b.safetensors", ".."])
def test_an_index_that_names_no_plain_file_is_refused(
    shard: str, hub: FakeHub, tmp_path: Path
) -> None:
    hub.files[_INDEX] = json.dumps({"weight_map": {"lm_head.weight": shard}}).encode()

    error = _refusal(hub, tmp_path)

    assert isinstance(error, CheckpointDamagedError)
    assert "no file name" in error.message


def test_listed_names_that_are_paths_are_never_written(hub: FakeHub, tmp_path: Path) -> None:
    for name in (
        "../config.json",
        "/etc/evil",
        "additional_chat_templates/../../evil.jinja",
        "model-\0.safetensors",
        "model/../x.safetensors",
        "model\n.safetensors",
    ):
        hub.files[name] = b"evil"
    with hub_checkpoint(
        RepositoryName("someone", "odd-rows"),
        HubAccess(hub.endpoint),
        tmp_path / "cache",
        sleep=FakeSleep(),
    ):
        pass

    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.name for path in written} <= set(hub.files)
    assert not any(path.read_bytes() == b"evil" for path in written)


def _lie(change: Callable[[bytes], bytes], **headers: str) -> Mishap:
    return Mishap("/cdn/model-", change=change, headers=headers)


@pytest.mark.parametrize(
    ("mishap", "words"),
    [
        pytest.param(
            Mishap("/cdn/config.json", headers={"Content-Encoding": "gzip"}, change=gzip.compress),
            "compressed", id="gzip",
        ),
        pytest.param(
            Mishap("/cdn/config.json", status=200, body=b" " * 5 * 1024**2),
            "larger than", id="endless config",
        ),
        pytest.param(
            Mishap("/cdn/config.json", status=200, body=b"{}"), "the hub lists", id="short config"
        ),
        pytest.param(
            Mishap("/cdn/model-", status=206, body=b"x" * 64, headers={"Content-Range": "bytes"}),
            "unknown part", id="no range",
        ),
        pytest.param(
            Mishap(
                "/cdn/model-", status=206, body=b"x" * 64,
                headers={"Content-Range": "bytes 5-68/1000000"},
            ),
            "is not what the hub lists", id="another size",
        ),
        pytest.param(Mishap("/cdn/model-", status=416), "status 416", id="range refused"),
        pytest.param(
            Mishap("/resolve/", status=302, headers={"X-Linked-Etag": '"' + "0" * 64 + '"',
                                                     "Location": "/cdn/config.json"}),
            "", id="another hash",
        ),
    ],
)  # fmt: skip
def test_a_lie_about_a_file_is_found_before_it_is_used(
    mishap: Mishap, words: str, hub: FakeHub, tmp_path: Path
) -> None:
    if not words:
        mishap.path = f"/resolve/{hub.commit}/{_SHARD}"
        words = "is not what the hub lists"
    hub.mishaps = [mishap]

    error = _refusal(hub, tmp_path)

    assert isinstance(error, DownloadError)
    assert words in error.message


def test_a_header_that_lies_is_refused_before_any_shard_is_fetched(
    hub: FakeHub, tmp_path: Path
) -> None:
    hub.files[_SHARD] = (2**40).to_bytes(8, "little") + hub.files[_SHARD][8:]

    error = _refusal(hub, tmp_path)

    assert isinstance(error, CheckpointDamagedError)
    assert "header length" in error.message
    assert all(headers["range"].startswith("bytes=0-") for headers in hub.asked("/cdn/model-"))


def test_a_shard_that_is_not_there_is_named(hub: FakeHub, tmp_path: Path) -> None:
    del hub.files[_SHARD]

    error = _refusal(hub, tmp_path)

    assert isinstance(error, DownloadError)
    assert _SHARD in error.message


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (["model-Q4_K_M.gguf", "config.json"], "need no conversion"),
        (["pytorch_model.bin", "config.json"], "PyTorch files only"),
        (["config.json"], "has no safetensors"),
    ],
)
def test_a_repository_without_safetensors_says_what_it_has(
    files: list[str], words: str, hub: FakeHub, tmp_path: Path
) -> None:
    hub.files = dict.fromkeys(files, b"{}")

    error = _refusal(hub, tmp_path)

    assert isinstance(error, ModelFileError)
    assert words in error.message


def test_a_machine_without_a_network_learns_so_in_seconds(hub: FakeHub, tmp_path: Path) -> None:
    hub.mishaps = [Mishap("/api/", status=502) for _ in range(20)]

    error = _refusal(hub, tmp_path)

    assert isinstance(error, NetworkError)
    assert len(hub.requests) == 4
