"""Owns what a hub's status codes mean: which error, and what the user can do about it.

The hub says more in `X-Error-Code` than in the status: a repository that does not exist and one
that is private both answer 401 to somebody without a token.
"""

from __future__ import annotations

import email.utils
import re
from collections.abc import Mapping

from localr1.errors import (
    AccessRefusedError,
    DownloadError,
    LocalR1Error,
    ModelNotFoundError,
    NetworkError,
)

_MAX_WAIT_S = 300.0
_RESET = re.compile(r"\bt=(\d{1,9})\b")


def refusal(
    status: int, headers: Mapping[str, str], *, what: str, host: str, has_token: bool
) -> LocalR1Error:
    """The error for an answer that is no success. `what` is the repository or file asked for."""
    reason = headers.get("x-error-code", "")
    if reason == "GatedRepo" or (status in {401, 403} and reason != "RepoNotFound"):
        return AccessRefusedError(
            f"{host} does not give {what} to {'this token' if has_token else 'everybody'}",
            hint=f"ask for access at https://{host}/{what}, then set HF_TOKEN to a token that "
            "may read it",
        )
    if reason == "RevisionNotFound":
        return ModelNotFoundError(
            f"{what} has no such revision at {host}",
            hint=f"https://{host}/{what} lists its branches",
        )
    if status in {401, 404, 410}:
        return ModelNotFoundError(
            f"there is no {what} at {host}",
            hint="" if has_token else "a private one needs HF_TOKEN",
        )
    if status == 429:
        return _too_many(headers, host, has_token=has_token)
    if status in {408, 425} or status >= 500:
        return NetworkError(
            f"{host} failed with status {status}", retry_after_s=_retry_after(headers)
        )
    return DownloadError(f"{host} answered {what} with status {status}")


def _too_many(headers: Mapping[str, str], host: str, *, has_token: bool) -> NetworkError:
    wait_s = _retry_after(headers)
    hint = "" if has_token else "HF_TOKEN, with a token of yours, raises the limit"
    if wait_s is not None and wait_s > _MAX_WAIT_S:
        return NetworkError(
            f"{host} has had too many requests from here and wants a pause of "
            f"{wait_s / 60:.0f} minutes",
            hint=hint,
            is_passing=False,
        )
    return NetworkError(
        f"{host} has had too many requests from here", hint=hint, retry_after_s=wait_s
    )


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait: `Retry-After` as seconds or a date, or `RateLimit: ...;t=SECONDS`."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    if value:
        then, now = _date(value), _date(headers.get("date", ""))
        return max(0.0, then - now) if then and now else None
    reset = _RESET.search(headers.get("ratelimit", ""))
    return float(reset[1]) if reset else None


def _date(value: str) -> float | None:
    """Seconds since 1970 of a date in a header; None if it is none."""
    try:
        return email.utils.parsedate_to_datetime(value).timestamp()
    except (ValueError, OverflowError):
        return None
