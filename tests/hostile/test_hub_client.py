"""Requests that could lead astray, leak the token or never end: the client alone."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator

import httpx2
import pytest

from localr1.errors import DownloadError, NetworkError
from localr1.hub.access import HubAccess
from localr1.hub.client import HubClient
from localr1.hub.repository import read_all
from tests.support.hub_clients import FakeSleep
from tests.support.hub_server import FakeHub, serving


def _asked(handler: Callable[[httpx2.Request], httpx2.Response], token: str = "") -> bytes:
    """One question to the public hub, as `handler` plays it."""
    client = HubClient(
        HubAccess("https://huggingface.co", token), transport=httpx2.MockTransport(handler)
    )
    try:
        return read_all(client, "/a/b/x", what="a/b/x", max_bytes=100, sleep=FakeSleep())
    finally:
        client.close()


@pytest.mark.parametrize(
    "location", ["http://cdn-lfs.hf.co/x", "https://evil.example/x", "https://169.254.169.254/x"]
)
def test_the_public_hub_leads_to_its_own_encrypted_hosts_only(location: str) -> None:
    with pytest.raises(DownloadError, match="does not follow"):
        _asked(lambda _: httpx2.Response(302, headers={"Location": location}))


def test_the_token_stays_with_the_hub() -> None:
    seen: dict[str, list[str | None]] = {}

    def answer(request: httpx2.Request) -> httpx2.Response:
        token = request.headers.get("authorization")
        seen.setdefault(request.url.host, []).append(token)
        if request.url.host == "cdn-lfs.hf.co":
            return httpx2.Response(200, stream=httpx2.ByteStream(b"weights"))
        if token is None:
            return httpx2.Response(401, headers={"X-Error-Code": "GatedRepo"})
        return httpx2.Response(302, headers={"Location": "https://cdn-lfs.hf.co/x"})

    assert _asked(answer, token="hf_secret") == b"weights"  # noqa: S106 - opens nothing
    assert seen == {"huggingface.co": [None, "Bearer hf_secret"], "cdn-lfs.hf.co": [None]}


def test_cookies_are_not_kept() -> None:
    seen: list[str | None] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.headers.get("cookie"))
        headers = {"Set-Cookie": "id=1; Path=/", "Location": "https://huggingface.co/y"}
        status, stream = 302 if len(seen) == 1 else 200, httpx2.ByteStream(b"")
        return httpx2.Response(status, headers=headers, stream=stream)

    _asked(answer)

    assert seen == [None, None]


def test_a_host_that_cannot_prove_its_name_is_not_asked_twice() -> None:
    n_asked = 0

    def answer(_request: httpx2.Request) -> httpx2.Response:
        nonlocal n_asked
        n_asked += 1
        proof = ssl.SSLCertVerificationError("certificate verify failed")
        proof.verify_message = "self-signed certificate"
        raise httpx2.ConnectError("failed") from proof

    with pytest.raises(NetworkError, match="does not prove") as caught:
        _asked(answer)

    assert n_asked == 1
    assert "self-signed" in caught.value.message


def test_a_host_that_has_no_address_is_asked_for_a_minute_and_named() -> None:
    def answer(_request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("[Errno -2] Name or service not known")

    with pytest.raises(NetworkError, match="Name or service not known") as caught:
        _asked(answer)

    assert caught.value.exit_code == 5


def test_a_server_that_only_drips_is_given_up() -> None:
    now_s = 0.0

    def clock() -> float:
        return now_s

    class Drip(httpx2.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            nonlocal now_s
            for _ in range(1000):
                now_s += 20
                yield b"."

    client = HubClient(
        HubAccess(),
        transport=httpx2.MockTransport(lambda _: httpx2.Response(200, stream=Drip())),
        clock=clock,
    )
    with pytest.raises(NetworkError, match="hardly sends anything"):
        read_all(client, "/x", what="x", max_bytes=9999, sleep=FakeSleep())
    client.close()


def test_a_speaker_of_another_protocol_is_a_network_error() -> None:
    with serving(FakeHub({})) as hub:
        client = HubClient(HubAccess(hub.endpoint.replace("http:", "https:")))
        with pytest.raises(NetworkError, match="the connection to"):
            read_all(client, "/x", what="x", max_bytes=9, sleep=FakeSleep())
        client.close()
