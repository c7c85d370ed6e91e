"""A model hub on the loopback: what the real one answers, and every way in which one can fail.

Files are answered as the hub does it: `resolve` redirects to another path, which stands for the
CDN and knows ranges. Mishaps are put in a queue; each answer to a matching path takes one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit


@dataclass(slots=True)
class Mishap:
    """What goes wrong with one answer."""

    path: str
    """A part of the paths that it befalls."""
    status: int = 0
    """Above 0: this instead of what was asked for."""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut_after: int = -1
    """At least 0: the connection is closed after so many bytes of the body."""
    change: Callable[[bytes], bytes] | None = None
    """What becomes of the body, after the headers were made."""


@dataclass(slots=True)
class FakeHub:
    """One repository, and a memory of what it was asked."""

    files: dict[str, bytes]
    name: str = "someone/odd-rows"
    commit: str = "0123456789abcdef0123456789abcdef01234567"
    token: str = ""
    """Set: only who has it gets files, as in a gated repository."""
    sends_etags: bool = True
    knows_ranges: bool = True
    lists_sizes: bool = True
    mishaps: list[Mishap] = field(default_factory=list)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    """Path and headers of each, in lower case."""
    endpoint: str = ""
    cdn: str = ""
    """Where `resolve` sends to: another port, which is another origin."""

    def asked(self, part: str) -> list[dict[str, str]]:
        """The headers of the requests whose path holds `part`."""
        return [headers for path, headers in self.requests if part in path]

    def etag(self, name: str) -> str:
        """Of a file's content."""
        return hashlib.sha256(self.files[name]).hexdigest()


@contextlib.contextmanager
def serving(hub: FakeHub) -> Iterator[FakeHub]:
    """The hub at `hub.endpoint` while the block runs."""
    handler = type("Handler", (_Handler,), {"hub": hub})
    with contextlib.ExitStack() as stack:
        hub.endpoint, hub.cdn = (stack.enter_context(_listening(handler)) for _ in range(2))
        yield hub


@contextlib.contextmanager
def _listening(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = _Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that leaves early is part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(
            (path, {key.lower(): value for key, value in self.headers.items()})
        )
        mishap = next((one for one in self.hub.mishaps if one.path in path), None)
        if mishap is not None:
            self.hub.mishaps.remove(mishap)
        if mishap is not None and mishap.status:
            self._send(mishap.status, mishap.body, mishap.headers)
        elif path.startswith(f"/api/models/{self.hub.name}/revision/"):
            self._send(200, json.dumps(self._listing()).encode(), {}, mishap)
        elif path.startswith(f"/{self.hub.name}/resolve/{self.hub.commit}/"):
            self._resolve(path.split(self.hub.commit + "/", 1)[1])
        elif path.startswith("/cdn/"):
            self._send_file(path.removeprefix("/cdn/"), mishap)
        else:
            self._send(401, b"", {"X-Error-Code": "RepoNotFound"})

    def _listing(self) -> dict[str, Any]:
        siblings: list[dict[str, Any]] = []
        for name, content in self.hub.files.items():
            entry: dict[str, Any] = {"rfilename": name}
            if self.hub.lists_sizes:
                entry["size"] = len(content)
                if name.endswith((".safetensors", ".gguf", ".bin")):
                    entry["lfs"] = {"sha256": self.hub.etag(name), "size": len(content)}
            siblings.append(entry)
        return {"id": self.hub.name, "sha": self.hub.commit, "siblings": siblings}

    def _resolve(self, name: str) -> None:
        if self.hub.token and self.headers.get("Authorization") != f"Bearer {self.hub.token}":
            self._send(401, b"", {"X-Error-Code": "GatedRepo"})
        elif name not in self.hub.files:
            self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
        else:
            headers = {"Location": f"{self.hub.cdn}/cdn/{name}", "X-Repo-Commit": self.hub.commit}
            if name.endswith(".safetensors"):
                headers["X-Linked-Etag"] = f'"{self.hub.etag(name)}"'
                headers["X-Linked-Size"] = str(len(self.hub.files[name]))
            self._send(302, b"", headers)

    def _send_file(self, name: str, mishap: Mishap | None) -> None:
        content, headers = self.hub.files[name], {"Accept-Ranges": "bytes"}
        etag = f'"{self.hub.etag(name)}"'
        if self.hub.sends_etags:
            headers["ETag"] = etag
        wanted = self.headers.get("Range", "").removeprefix("bytes=")
        if not wanted or not self.hub.knows_ranges or self.headers.get("If-Range", etag) != etag:
            self._send(200, content, headers, mishap)
            return
        first, _, last = wanted.partition("-")
        start, end = int(first), min(int(last or len(content)) + 1, len(content))
        if start >= len(content):
            self._send(416, b"", {"Content-Range": f"bytes */{len(content)}"})
            return
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(content)}"
        self._send(206, content[start:end], headers, mishap)

    def _send(
        self, status: int, body: bytes, headers: Mapping[str, str], mishap: Mishap | None = None
    ) -> None:
        self.send_response(status)
        for key, value in {**headers, **(mishap.headers if mishap else {})}.items():
            self.send_header(key, value)
        if mishap is None or "Content-Length" not in mishap.headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if mishap is not None and mishap.change is not None:
            body = mishap.change(body)
        if mishap is not None and mishap.cut_after >= 0:
            body = body[: mishap.cut_after]
            self.close_connection = True
        with contextlib.suppress(OSError):  # a reader may leave when it has enough
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Tests print nothing."""
