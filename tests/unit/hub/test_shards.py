from __future__ import annotations

import contextlib
import shutil
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import pytest

from localr1.errors import NoRoomError, UsageError
from localr1.hub.access import HubAccess
from localr1.hub.checkpoint import HubCheckpoint, hub_checkpoint
from quant.pipeline import convert
from tests.support.hub_checkpoints import hub_with, sharded_checkpoint
from tests.support.hub_clients import FakeSleep, name_of
from tests.support.hub_server import FakeHub, serving

_Usage = namedtuple("_Usage", "total used free")  # noqa: PYI024 - what shutil returns


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sharded_checkpoint(tmp_path_factory.mktemp("sources"), n_shards=5)


@pytest.fixture
def hub(checkpoint: Path) -> Iterator[FakeHub]:
    with serving(hub_with(checkpoint)) as running:
        yield running


def _opened(
    hub: FakeHub, cache: Path, *, deletes: bool = False
) -> contextlib.AbstractContextManager[HubCheckpoint]:
    return hub_checkpoint(
        name_of(hub), HubAccess(hub.endpoint), cache, deletes=deletes, sleep=FakeSleep()
    )


@pytest.mark.parametrize("file_type", ["Q4_K_M", "F16"])
def test_shards_are_fetched_once_and_one_at_a_time(
    file_type: str, hub: FakeHub, tmp_path: Path
) -> None:
    with _opened(hub, tmp_path, deletes=True) as found:
        convert(found.directory, tmp_path / "m.gguf", file_type=file_type, store=found.shards)

    fetched = [
        path for path, headers in hub.requests if "/cdn/model-0" in path and "range" not in headers
    ]
    assert len(fetched) == len(set(fetched)) == 5


@pytest.mark.parametrize("kind", ["fp8", "qwen3moe"])
def test_scales_and_experts_in_several_shards_are_there_when_they_are_needed(
    kind: str, tmp_path: Path
) -> None:
    source = sharded_checkpoint(tmp_path, 3, kind)
    with serving(hub_with(source)) as hub, _opened(hub, tmp_path / "c", deletes=True) as found:
        convert(found.directory, tmp_path / "m.gguf", store=found.shards)

    convert(source, tmp_path / "local.gguf")
    assert (tmp_path / "m.gguf").read_bytes() == (tmp_path / "local.gguf").read_bytes()


def test_no_room_is_said_before_a_shard_is_fetched(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: _Usage(10**12, 0, 10**6))
    with (
        pytest.raises(NoRoomError, match="the output and the shards of someone/odd-rows") as caught,
        _opened(hub, tmp_path) as found,
    ):
        convert(found.directory, tmp_path / "out" / "m.gguf", store=found.shards)

    assert caught.value.exit_code == 9
    assert "--delete-shards" in caught.value.hint
    assert not (tmp_path / "out").exists()
    assert list(tmp_path.rglob("*.safetensors")) == []


def test_deleting_shards_needs_less_room(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: _Usage(10**12, 0, 2_000_000))
    with pytest.raises(NoRoomError), _opened(hub, tmp_path) as found:
        convert(found.directory, tmp_path / "m.gguf", file_type="F16", store=found.shards)

    with _opened(hub, tmp_path, deletes=True) as found:
        convert(found.directory, tmp_path / "m.gguf", file_type="F16", store=found.shards)

    assert (tmp_path / "m.gguf").exists()


def test_two_at_once_on_the_same_repository_are_one_too_many(hub: FakeHub, tmp_path: Path) -> None:
    with (
        _opened(hub, tmp_path),
        pytest.raises(UsageError, match="another localr1 is fetching"),
        _opened(hub, tmp_path),
    ):
        pass


def test_a_hub_that_lists_names_alone_will_do(
    hub: FakeHub, tmp_path: Path, checkpoint: Path
) -> None:
    hub.lists_sizes = False
    with _opened(hub, tmp_path) as found:
        convert(found.directory, tmp_path / "m.gguf", store=found.shards)

    convert(checkpoint, tmp_path / "local.gguf")
    assert (tmp_path / "m.gguf").read_bytes() == (tmp_path / "local.gguf").read_bytes()


def test_named_templates_are_fetched_too(hub: FakeHub, tmp_path: Path) -> None:
    hub.files["additional_chat_templates/tool_use.jinja"] = b"{{ 1 }}"
    with _opened(hub, tmp_path) as found:
        template = found.directory / "additional_chat_templates" / "tool_use.jinja"

        assert template.read_bytes() == b"{{ 1 }}"


def test_what_is_kept_is_for_its_owner_alone(hub: FakeHub, tmp_path: Path) -> None:
    with _opened(hub, tmp_path) as found:
        assert found.directory.stat().st_mode & 0o077 == 0
        assert found.directory.name == "odd-rows"
