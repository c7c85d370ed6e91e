"""Owns how often a failed request is tried again, and how long is waited in between."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from localr1.errors import NetworkError

T = TypeVar("T")

DELAYS_S = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Before each further attempt: a minute in all, long enough for a router to restart."""


class Patience:
    """Attempts left before a failure is final."""

    def __init__(self, sleep: Callable[[float], None], *, n_retries: int | None = None) -> None:
        """`n_retries` None means as many as there are delays."""
        self._sleep = sleep
        self._delays_s = DELAYS_S[:n_retries]
        self._n_failures = 0

    def renew(self) -> None:
        """Something arrived: what failed before was another failure."""
        self._n_failures = 0

    def after(self, failure: NetworkError) -> None:
        """Wait before the next attempt. Raises: the failure, if it will not pass or came often."""
        if not failure.is_passing or self._n_failures == len(self._delays_s):
            raise failure
        delay_s = self._delays_s[self._n_failures]
        self._n_failures += 1
        self._sleep(delay_s if failure.retry_after_s is None else failure.retry_after_s)


def patiently(
    attempt: Callable[[], T], sleep: Callable[[float], None], *, n_retries: int | None = None
) -> T:
    """The result of the first attempt that succeeds. Raises: NetworkError, the last one."""
    patience = Patience(sleep, n_retries=n_retries)
    while True:
        try:
            return attempt()
        except NetworkError as exc:
            patience.after(exc)
