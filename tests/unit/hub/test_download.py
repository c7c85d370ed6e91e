from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from localr1.errors import DownloadError, NetworkError, NoRoomError, UsageError
from localr1.hub.access import HubAccess
from localr1.hub.client import HubClient
from localr1.hub.download import Download, part_of
from localr1.hub.names import RepositoryName
from localr1.hub.remote_file import RemoteFile
from localr1.hub.repository import HubFile, Repository
from localr1.hub.retries import DELAYS_S
from tests.support.hub_clients import FakeSleep, remote_file
from tests.support.hub_server import FakeHub, Mishap, serving

_NAME = "model.safetensors"
_CONTENT = bytes(range(256)) * 2000


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with serving(FakeHub({_NAME: _CONTENT})) as running:
        yield running


def _fetch(hub: FakeHub, client: HubClient, target: Path) -> FakeSleep:
    sleep = FakeSleep()
    Download(remote_file(hub, client, _NAME, sleep), target).run(sleep)
    return sleep


def test_a_file_comes_whole_and_leaves_nothing_beside_it(
    hub: FakeHub, client: HubClient, tmp_path: Path
) -> None:
    sleep = _fetch(hub, client, tmp_path / _NAME)

    assert (tmp_path / _NAME).read_bytes() == _CONTENT
    assert [path.name for path in tmp_path.iterdir()] == [_NAME]
    assert sleep.slept == []


def test_a_lost_connection_goes_on_where_it_was(
    hub: FakeHub, client: HubClient, tmp_path: Path
) -> None:
    hub.mishaps = [Mishap("/cdn/", cut_after=300_000), Mishap("/cdn/", cut_after=100_000)]

    sleep = _fetch(hub, client, tmp_path / _NAME)

    ranges = [headers.get("range") for headers in hub.asked("/cdn/")]
    assert ranges == [None, "bytes=300000-", "bytes=400000-"]
    assert hub.asked("/cdn/")[1]["if-range"] == f'"{hub.etag(_NAME)}"'
    assert (tmp_path / _NAME).read_bytes() == _CONTENT
    assert sleep.slept == [1.0, 1.0]


def test_an_interrupted_download_goes_on_in_the_next_run(
    hub: FakeHub, client: HubClient, tmp_path: Path
) -> None:
    def stop(n_bytes: int) -> None:
        if n_bytes > 200_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Download(remote_file(hub, client, _NAME, FakeSleep()), tmp_path / _NAME, on_bytes=stop).run(
            FakeSleep()
        )
    n_kept = part_of(tmp_path / _NAME).stat().st_size
    _fetch(hub, client, tmp_path / _NAME)

    assert n_kept > 200_000
    assert hub.asked("/cdn/")[1]["range"] == f"bytes={n_kept}-"
    assert (tmp_path / _NAME).read_bytes() == _CONTENT


def test_without_etags_the_hash_tells_whether_the_pieces_fit(
    hub: FakeHub, client: HubClient, tmp_path: Path
) -> None:
    hub.sends_etags = False
    hub.mishaps = [Mishap("/cdn/", cut_after=300_000)]

    _fetch(hub, client, tmp_path / _NAME)

    assert hub.asked("/cdn/")[1]["range"] == "bytes=300000-"
    assert (tmp_path / _NAME).read_bytes() == _CONTENT


def test_a_hub_that_ignores_ranges_starts_anew(
    hub: FakeHub, client: HubClient, tmp_path: Path
) -> None:
    hub.knows_ranges = False
    hub.mishaps = [Mishap("/cdn/", cut_after=300_000)]

    _fetch(hub, client, tmp_path / _NAME)

    assert (tmp_path / _NAME).read_bytes() == _CONTENT


def test_a_part_of_an_older_state_is_never_mixed(
    hub: FakeHub, client: HubClient, tmp_path: Path
) -> None:
    part_of(tmp_path / _NAME).write_bytes(b"old" * 1000)
    (tmp_path / f".{_NAME}.etag").write_text('"older"')

    _fetch(hub, client, tmp_path / _NAME)

    assert hub.asked("/cdn/")[0]["if-range"] == '"older"'
    assert (tmp_path / _NAME).read_bytes() == _CONTENT


def test_a_part_that_comes_from_another_state_is_thrown_away(
    hub: FakeHub, client: HubClient, tmp_path: Path
) -> None:
    hub.mishaps = [
        Mishap("/cdn/", cut_after=300_000, headers={"ETag": '"before"'}),
        Mishap(
            "/cdn/", status=206, body=b"x" * 212_000,
            headers={"ETag": '"after"', "Content-Range": "bytes 300000-511999/512000"},
        ),
    ]  # fmt: skip

    _fetch(hub, client, tmp_path / _NAME)

    assert (tmp_path / _NAME).read_bytes() == _CONTENT


def test_a_part_that_was_complete_is_only_checked(
    hub: FakeHub, client: HubClient, tmp_path: Path
) -> None:
    part_of(tmp_path / _NAME).write_bytes(_CONTENT)

    _fetch(hub, client, tmp_path / _NAME)

    assert hub.asked("/cdn/") == []
    assert (tmp_path / _NAME).read_bytes() == _CONTENT


def test_wrong_bytes_are_fetched_once_more(hub: FakeHub, client: HubClient, tmp_path: Path) -> None:
    hub.mishaps = [Mishap("/cdn/", change=lambda body: body[:-1] + b"?")]

    _fetch(hub, client, tmp_path / _NAME)

    assert (tmp_path / _NAME).read_bytes() == _CONTENT


def test_bytes_that_are_wrong_twice_are_refused_and_removed(
    hub: FakeHub, client: HubClient, tmp_path: Path
) -> None:
    hub.mishaps = [Mishap("/cdn/", change=lambda body: b"?" + body[1:]) for _ in range(2)]

    with pytest.raises(DownloadError, match="another SHA-256") as caught:
        _fetch(hub, client, tmp_path / _NAME)

    assert caught.value.exit_code == 6
    assert list(tmp_path.iterdir()) == []


def test_failures_of_the_server_are_waited_for(
    hub: FakeHub, client: HubClient, tmp_path: Path
) -> None:
    hub.mishaps = [
        Mishap("/resolve/", status=503),
        Mishap("/resolve/", status=503),
        Mishap("/resolve/", status=429, headers={"Retry-After": "17"}),
    ]

    sleep = _fetch(hub, client, tmp_path / _NAME)

    assert sleep.slept == [1.0, 2.0, 17.0]
    assert (tmp_path / _NAME).read_bytes() == _CONTENT


def test_a_network_that_stays_away_is_an_error_and_what_came_is_kept(
    hub: FakeHub, client: HubClient, tmp_path: Path
) -> None:
    hub.mishaps = [
        Mishap("/cdn/", cut_after=300_000),
        *(Mishap("/cdn/", cut_after=0) for _ in range(len(DELAYS_S) + 1)),
    ]

    with pytest.raises(NetworkError) as caught:
        _fetch(hub, client, tmp_path / _NAME)

    assert caught.value.exit_code == 5
    assert part_of(tmp_path / _NAME).stat().st_size == 300_000


def test_a_network_that_gives_a_byte_at_a_time_is_given_up(
    hub: FakeHub, client: HubClient, tmp_path: Path
) -> None:
    hub.mishaps = [Mishap("/cdn/", cut_after=1) for _ in range(100)]

    with pytest.raises(NetworkError):
        _fetch(hub, client, tmp_path / _NAME)

    assert len(hub.mishaps) == 100 - len(DELAYS_S) - 1


def test_more_than_was_promised_is_not_written(tmp_path: Path) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, stream=Endless())

    class Endless(httpx2.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            while True:
                yield bytes(1000)

    client = HubClient(HubAccess(), transport=httpx2.MockTransport(answer))
    listed = HubFile(_NAME, 5500, "")
    repository = Repository(RepositoryName("a", "b"), "0" * 40, {_NAME: listed})
    file = RemoteFile(client, repository, _NAME, FakeSleep())
    with pytest.raises(DownloadError, match="longer than the hub said"):
        Download(file, tmp_path / _NAME).run(FakeSleep())
    client.close()

    assert part_of(tmp_path / _NAME).stat().st_size <= 5500
    assert not (tmp_path / _NAME).exists()


def test_a_disk_that_fills_up_is_said_to_be_full(
    hub: FakeHub, client: HubClient, tmp_path: Path
) -> None:
    def fill(n_bytes: int) -> None:
        raise OSError(28, "No space left on device")

    download = Download(
        remote_file(hub, client, _NAME, FakeSleep()), tmp_path / _NAME, on_bytes=fill
    )
    with pytest.raises(NoRoomError, match="the disk filled up"):
        download.run(FakeSleep())


def test_a_directory_that_is_gone_is_said_to_be(
    hub: FakeHub, client: HubClient, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="cannot write"):
        _fetch(hub, client, tmp_path / "gone" / _NAME)
