from __future__ import annotations

from collections.abc import Iterator

import pytest

from localr1.errors import DownloadError
from localr1.hub.client import HubClient
from localr1.hub.remote_file import HeadReader
from tests.support.hub_clients import FakeSleep, remote_file
from tests.support.hub_server import FakeHub, Mishap, serving

_NAME = "model.gguf"
_CONTENT = bytes(range(256)) * 100


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with serving(FakeHub({_NAME: _CONTENT})) as running:
        yield running


@pytest.mark.parametrize("lists_sizes", [True, False])
@pytest.mark.parametrize(
    ("offset", "n_bytes"), [(0, 10), (500, 1), (25_590, 100), (25_600, 5), (0, 25_600), (7, 0)]
)
def test_a_part_is_what_the_file_holds_there(
    offset: int, n_bytes: int, *, lists_sizes: bool, hub: FakeHub, client: HubClient
) -> None:
    hub.lists_sizes = lists_sizes
    file = remote_file(hub, client, _NAME, FakeSleep())
    file.read(0, 1)

    assert file.read(offset, n_bytes) == _CONTENT[offset : offset + n_bytes]
    assert file.n_bytes == len(_CONTENT)


def test_a_part_is_all_that_is_asked_for(hub: FakeHub, client: HubClient) -> None:
    remote_file(hub, client, _NAME, FakeSleep()).read(100, 50)

    assert [headers["range"] for headers in hub.asked("/cdn/")] == ["bytes=100-149"]


def test_a_hub_without_ranges_can_be_read_from_the_start_only(
    hub: FakeHub, client: HubClient
) -> None:
    hub.knows_ranges = False
    file = remote_file(hub, client, _NAME, FakeSleep())

    assert file.read(0, 10) == _CONTENT[:10]
    with pytest.raises(DownloadError, match="sends no parts"):
        file.read(10, 10)


def test_a_part_that_breaks_off_is_asked_for_again(hub: FakeHub, client: HubClient) -> None:
    hub.mishaps = [Mishap("/cdn/", cut_after=3), Mishap("/cdn/", status=502)]
    sleep = FakeSleep()

    assert remote_file(hub, client, _NAME, sleep).read(5, 10) == _CONTENT[5:15]
    assert sleep.slept == [1.0, 2.0]


def test_a_header_is_read_in_few_requests(hub: FakeHub, client: HubClient) -> None:
    head = HeadReader(remote_file(hub, client, _NAME, FakeSleep()), n_at_once=1000)

    pieces = [head.read(8), head.read(992), head.read(5000), head.read(10**6), head.read(1)]

    assert b"".join(pieces) == _CONTENT
    assert len(hub.asked("/cdn/")) == 3
