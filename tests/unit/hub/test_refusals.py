from __future__ import annotations

import pytest

from localr1.errors import AccessRefusedError, ModelNotFoundError, NetworkError
from localr1.hub.refusals import refusal

_DATE = "Wed, 21 Oct 2026 07:28:00 GMT"


def _refusal(status: int, headers: dict[str, str], *, has_token: bool = False) -> Exception:
    return refusal(status, headers, what="a/b", host="hub.example", has_token=has_token)


@pytest.mark.parametrize(
    ("status", "reason", "kind"),
    [
        (401, "RepoNotFound", ModelNotFoundError),
        (404, "RepoNotFound", ModelNotFoundError),
        (404, "RevisionNotFound", ModelNotFoundError),
        (404, "", ModelNotFoundError),
        (401, "GatedRepo", AccessRefusedError),
        (403, "GatedRepo", AccessRefusedError),
        (401, "", AccessRefusedError),
        (503, "", NetworkError),
        (408, "", NetworkError),
    ],
)
def test_the_reason_says_more_than_the_status(
    status: int, reason: str, kind: type[Exception]
) -> None:
    assert type(_refusal(status, {"x-error-code": reason})) is kind


def test_a_gated_repository_says_where_to_ask_and_what_to_set() -> None:
    error = _refusal(403, {"x-error-code": "GatedRepo"})

    assert isinstance(error, AccessRefusedError)
    assert error.exit_code == 3
    assert "https://hub.example/a/b" in error.hint
    assert "HF_TOKEN" in error.hint


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT", "date": _DATE}, 30.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:27:00 GMT", "date": _DATE}, 0.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT"}, None),
        ({"retry-after": "soon"}, None),
        ({"ratelimit": '"resolvers";r=0;t=42'}, 42.0),
        ({}, None),
    ],
)
def test_a_pause_is_as_long_as_the_hub_says(headers: dict[str, str], wait_s: float | None) -> None:
    error = _refusal(429, headers)

    assert isinstance(error, NetworkError)
    assert error.is_passing
    assert error.retry_after_s == wait_s


def test_a_pause_of_an_hour_is_the_users_to_take() -> None:
    error = _refusal(429, {"retry-after": "3600"})

    assert isinstance(error, NetworkError)
    assert not error.is_passing
    assert "60 minutes" in error.message
