"""Owns which hub is asked, and with which token: the environment variables of huggingface_hub.

`HF_ENDPOINT`, `HF_TOKEN`, `HF_TOKEN_PATH`, `HF_HOME`, `HF_HUB_DISABLE_IMPLICIT_TOKEN` and
`HF_HUB_OFFLINE` mean what they mean there, so that a machine set up for the hub needs no setup.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from localr1.errors import UsageError

_DEFAULT_ENDPOINT = "https://huggingface.co"
_HUB_DOMAINS = ("huggingface.co", "hf.co")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_TRUE = {"1", "ON", "YES", "TRUE"}
_MAX_TOKEN_BYTES = 4096


@dataclass(frozen=True, slots=True)
class HubAccess:
    """A hub, and what opens its closed doors."""

    endpoint: str = _DEFAULT_ENDPOINT
    token: str = field(default="", repr=False)
    """Empty if there is none. Goes to the endpoint alone, and only when it asks for one."""

    @property
    def host(self) -> str:
        """Of the endpoint, with its port if that is unusual."""
        return urlsplit(self.endpoint).netloc

    @property
    def is_encrypted(self) -> bool:
        """Whether nobody on the way can read along."""
        return self.endpoint.startswith("https:")

    def may_have_token(self, origin: str) -> bool:
        """Whether a request to `scheme://host[:port]` may carry the token."""
        is_private = self.is_encrypted or urlsplit(self.endpoint).hostname in _LOOPBACK
        return bool(self.token) and is_private and origin == _origin(self.endpoint)

    def trusts(self, host: str) -> bool:
        """Whether the hub may send us to this host.

        The public hub keeps its files under its own domains. Where a mirror keeps them nobody can
        know.
        """
        if urlsplit(self.endpoint).hostname != urlsplit(_DEFAULT_ENDPOINT).hostname:
            return True
        return any(host == domain or host.endswith(f".{domain}") for domain in _HUB_DOMAINS)


def hub_access(environment: Mapping[str, str]) -> HubAccess:
    """What the environment says. Raises: UsageError if HF_ENDPOINT is no address."""
    endpoint = environment.get("HF_ENDPOINT", "").strip().rstrip("/") or _DEFAULT_ENDPOINT
    try:
        parts = urlsplit(endpoint)
        is_address = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        is_address = is_address and not (parts.username or parts.query or parts.fragment)
    except ValueError:
        is_address = False
    if not is_address:
        raise UsageError(
            "HF_ENDPOINT is no address of a hub", hint=f"it should look like {_DEFAULT_ENDPOINT}"
        )
    return HubAccess(endpoint, _token(environment))


def is_offline_wanted(environment: Mapping[str, str]) -> bool:
    """Whether the environment forbids the network, as `--offline` does."""
    return environment.get("HF_HUB_OFFLINE", "").upper() in _TRUE


def _token(environment: Mapping[str, str]) -> str:
    explicit = environment.get("HF_TOKEN") or environment.get("HUGGING_FACE_HUB_TOKEN")
    if explicit:
        return _cleaned(explicit)
    if environment.get("HF_HUB_DISABLE_IMPLICIT_TOKEN", "").upper() in _TRUE:
        return ""
    path = environment.get("HF_TOKEN_PATH")
    try:
        with (Path(path) if path else _hub_home(environment) / "token").open("rb") as file:
            return _cleaned(file.read(_MAX_TOKEN_BYTES).decode("ascii", errors="replace"))
    except OSError:
        return ""


def _cleaned(token: str) -> str:
    """The token, or nothing if it could not be part of a header."""
    token = token.strip()
    return token if token.isascii() and token.isprintable() and " " not in token else ""


def _hub_home(environment: Mapping[str, str]) -> Path:
    if home := environment.get("HF_HOME"):
        return Path(home).expanduser()
    cache = environment.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path("~/.cache").expanduser()) / "huggingface"


def _origin(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"
