"""Owns requests to a hub: where they may lead, what they carry, and how their failures are told.

Redirects are followed here and not by the library, because every hop is a decision: never from
https to anything else, never to hosts that are not the hub's, never with the token beyond the
endpoint. Bodies are taken as they come: an answer that is compressed is refused, so that no answer
can be larger than what was sent. No cookies are kept. Attempts are not repeated here.
"""

from __future__ import annotations

import contextlib
import re
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx2

from localr1 import __version__
from localr1.errors import DownloadError, NetworkError
from localr1.hub.access import HubAccess
from localr1.hub.refusals import refusal

_MAX_HOPS = 5
_CONNECT_S = 10.0
_SILENCE_S = 30.0
_SLOW_S, _SLOW_BYTES = 60.0, 64 * 1024  # a server that drips is as good as gone
_SUCCESS = {200, 206}
_REDIRECTS = {301, 302, 303, 307, 308}
_RANGE = re.compile(r"bytes (\d{1,19})-\d{1,19}/(\d{1,19})")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Answer:
    """The body of a file, or of a part of it, on its way."""

    start: int
    """Of the first byte in the file; 0 where the hub sends all of it, whatever was asked for."""
    n_total: int | None
    """Bytes of the whole file; None if the hub does not say."""
    etag: str
    """What `If-Range` takes; empty if there is none, or only a weak one."""
    sha256: str
    """Of the whole file; empty if the hub does not say."""
    chunks: Iterator[bytes]


class HubClient:
    """Connections to one hub. Can be used from several threads."""

    def __init__(
        self,
        access: HubAccess,
        *,
        transport: httpx2.BaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`transport` and `clock` are what tests replace."""
        self.access = access
        self._clock = clock
        self._wants_token = False
        self._client = httpx2.Client(
            transport=transport,
            follow_redirects=False,
            timeout=httpx2.Timeout(_SILENCE_S, connect=_CONNECT_S),
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            headers={"User-Agent": f"localr1/{__version__}", "Accept-Encoding": "identity"},
        )

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    @contextlib.contextmanager
    def get(
        self,
        path: str,
        *,
        what: str,
        first: int | None = None,
        last: int | None = None,
        if_range: str = "",
    ) -> Iterator[Answer]:
        """Ask for a path below the endpoint, or for its bytes from `first` to `last` inclusive.

        `what` names it in errors. With `if_range` the part is sent only if the file still has that
        ETag, else all of it. Raises: NetworkError, DownloadError, ModelNotFoundError.
        """
        headers = {}
        if first is not None:
            headers["Range"] = f"bytes={first}-{'' if last is None else last}"
            if if_range:
                headers["If-Range"] = if_range
        with contextlib.ExitStack() as stack:
            response, sha256 = self._followed(stack, self.access.endpoint + path, what, headers)
            yield self._answer(response, sha256, what)

    def _followed(
        self, stack: contextlib.ExitStack, address: str, what: str, headers: dict[str, str]
    ) -> tuple[httpx2.Response, str]:
        """The answer at the end of all redirects, and the file's hash as one of them gave it."""
        url, sha256 = httpx2.URL(address), ""
        for _ in range(_MAX_HOPS + 1):
            response = self._sent(stack, url, what, headers)
            sha256 = sha256 or _linked_sha256(response)
            if response.status_code not in _REDIRECTS:
                return response, sha256
            url = self._next(url, response.headers.get("location", ""))
            response.close()
        raise DownloadError(f"{self.access.host} sends us from address to address for {what}")

    def _sent(
        self, stack: contextlib.ExitStack, url: httpx2.URL, what: str, headers: dict[str, str]
    ) -> httpx2.Response:
        """The answer of one host, if it is a success or a redirect."""
        may_have_token = self.access.may_have_token(_origin(url))
        while True:
            token = self.access.token if may_have_token and self._wants_token else ""
            authorization = {"Authorization": f"Bearer {token}"} if token else {}
            stack.enter_context(_explained(url.host))
            response = stack.enter_context(
                self._client.stream("GET", url, headers={**headers, **authorization})
            )
            status = response.status_code
            if status in _SUCCESS or status in _REDIRECTS:
                return response
            if status in {401, 403, 429} and may_have_token and not token:
                self._wants_token = True  # and from now on: it would be asked for every time
                continue
            if status in {401, 403} and _origin(url) != _origin(httpx2.URL(self.access.endpoint)):
                # signed addresses age; the hub signs a new one at the next attempt
                raise NetworkError(f"{url.host} refused {what} with status {status}")
            raise refusal(status, response.headers, what=what, host=url.host, has_token=bool(token))

    def _next(self, url: httpx2.URL, location: str) -> httpx2.URL:
        try:
            target = url.join(location)
        except (httpx2.InvalidURL, ValueError) as exc:
            raise DownloadError(f"{url.host} redirects to {location[:80]!r}") from exc
        is_as_safe = target.scheme == "https" or (
            target.scheme == "http" and not self.access.is_encrypted
        )
        if not location or not is_as_safe or target.userinfo or not self.access.trusts(target.host):
            raise DownloadError(
                f"{url.host} redirects to {location[:80]!r}, which localr1 does not follow"
            )
        return target

    def _answer(self, response: httpx2.Response, sha256: str, what: str) -> Answer:
        headers = response.headers
        if headers.get("content-encoding", "identity") != "identity":
            raise DownloadError(f"{response.url.host} sends {what} compressed, unasked")
        etag = headers.get("etag", "")
        start, n_total = 0, _number(headers.get("content-length"))
        if response.status_code == 206:
            part = _RANGE.fullmatch(headers.get("content-range", ""))
            if part is None:
                raise DownloadError(f"{response.url.host} sends an unknown part of {what}")
            start, n_total = int(part[1]), int(part[2])
        return Answer(
            start,
            n_total,
            "" if etag.startswith("W/") else etag,
            sha256,
            self._chunks(response, what),
        )

    def _chunks(self, response: httpx2.Response, what: str) -> Iterator[bytes]:
        window_s, n_bytes = self._clock(), 0
        for chunk in response.iter_raw():
            yield chunk
            n_bytes += len(chunk)
            if self._clock() - window_s > _SLOW_S:
                if n_bytes < _SLOW_BYTES:
                    raise NetworkError(f"{response.url.host} hardly sends anything of {what}")
                window_s, n_bytes = self._clock(), 0


@contextlib.contextmanager
def _explained(host: str) -> Iterator[None]:
    """Turns the library's failures into ours."""
    try:
        yield
    except httpx2.HTTPError as exc:
        cause: BaseException | None = exc
        while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
            cause = cause.__cause__ or cause.__context__
        if cause is not None:
            raise NetworkError(
                f"{host} does not prove that it is {host}: {cause.verify_message}",
                hint="is there a proxy that opens connections? SSL_CERT_FILE names its certificate",
                is_passing=False,
            ) from exc
        reason = str(exc) or type(exc).__name__
        raise NetworkError(f"the connection to {host} failed: {reason.splitlines()[0]}") from exc


def _origin(url: httpx2.URL) -> str:
    return f"{url.scheme}://{url.netloc.decode()}"


def _linked_sha256(response: httpx2.Response) -> str:
    """The hash of a large file: its ETag where the hub keeps it."""
    etag = response.headers.get("x-linked-etag", "").removeprefix("W/").strip('"')
    return etag if _SHA256.fullmatch(etag) else ""


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 20 else None
