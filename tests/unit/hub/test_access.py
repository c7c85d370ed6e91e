from __future__ import annotations

from pathlib import Path

import pytest

from localr1.errors import UsageError
from localr1.hub.access import HubAccess, hub_access, is_offline_wanted


def test_the_public_hub_without_a_token_is_the_default(tmp_path: Path) -> None:
    access = hub_access({"HF_HOME": str(tmp_path)})

    assert access == HubAccess("https://huggingface.co", "")


def test_the_token_in_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hf_from_file\n")

    from_file = hub_access({"HF_HOME": str(tmp_path)})
    explicit = hub_access({"HF_HOME": str(tmp_path), "HF_TOKEN": " hf_explicit "})

    assert [from_file.token, explicit.token] == ["hf_from_file", "hf_explicit"]


def test_a_token_file_can_be_named_and_be_forbidden(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("hf_other")
    environment = {"HF_HOME": str(tmp_path), "HF_TOKEN_PATH": str(tmp_path / "other")}

    named = hub_access(environment)
    forbidden = hub_access({**environment, "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"})

    assert [named.token, forbidden.token] == ["hf_other", ""]


def test_a_token_never_shows() -> None:
    assert "hf_secret" not in repr(HubAccess("https://huggingface.co", "hf_secret"))


@pytest.mark.parametrize("token", ["two\nlines", "a b", "caf\u00e9"])
def test_a_token_that_could_be_no_header_is_no_token(token: str, tmp_path: Path) -> None:
    assert hub_access({"HF_HOME": str(tmp_path), "HF_TOKEN": token}).token == ""


@pytest.mark.parametrize(
    "endpoint",
    ["file:///etc", "hub", "https://", "https://user:pw@hub", "https://hub/?q", "http://[", "ftp://h",
     "https://hub:99999"],
)  # fmt: skip
def test_an_endpoint_that_is_no_address_is_refused(endpoint: str) -> None:
    with pytest.raises(UsageError, match="HF_ENDPOINT is no address"):
        hub_access({"HF_ENDPOINT": endpoint})


@pytest.mark.parametrize(
    ("endpoint", "origin", "may"),
    [
        ("https://huggingface.co", "https://huggingface.co", True),
        ("https://huggingface.co", "https://cdn-lfs.huggingface.co", False),
        ("https://huggingface.co", "http://huggingface.co", False),
        ("https://hub.example:8443/hf", "https://hub.example:8443", True),
        ("http://hub.example", "http://hub.example", False),
        ("http://127.0.0.1:1234", "http://127.0.0.1:1234", True),
        ("http://127.0.0.1:1234", "http://127.0.0.1:1235", False),
    ],
)
def test_the_token_goes_to_the_endpoint_alone_and_never_in_the_clear(
    endpoint: str, origin: str, *, may: bool
) -> None:
    assert HubAccess(endpoint, "hf_secret").may_have_token(origin) is may


@pytest.mark.parametrize(
    ("host", "trusted"),
    [("cdn-lfs-us-1.hf.co", True), ("cas-bridge.xethub.hf.co", True), ("huggingface.co", True),
     ("evil.example", False), ("nothuggingface.co", False), ("169.254.169.254", False)],
)  # fmt: skip
def test_the_public_hub_sends_us_to_its_own_hosts_only(host: str, *, trusted: bool) -> None:
    assert HubAccess().trusts(host) is trusted
    assert HubAccess("https://mirror.example").trusts(host)


@pytest.mark.parametrize(("value", "offline"), [("1", True), ("true", True), ("0", False)])
def test_the_environment_can_forbid_the_network(value: str, *, offline: bool) -> None:
    assert is_offline_wanted({"HF_HUB_OFFLINE": value}) is offline
