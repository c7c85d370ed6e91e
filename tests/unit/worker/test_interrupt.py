from __future__ import annotations

import ctypes

from localr1.worker.interrupt import Interrupt


def _strlen(interrupt: Interrupt) -> int:
    return len(ctypes.string_at(interrupt.address))


def test_cancel_stops_the_current_request() -> None:
    interrupt = Interrupt()
    interrupt.begin(3)

    interrupt.cancel(3)

    assert interrupt.is_set
    assert _strlen(interrupt) == 1


def test_next_request_runs_again() -> None:
    interrupt = Interrupt()
    interrupt.begin(3)
    interrupt.cancel(3)

    interrupt.begin(4)

    assert not interrupt.is_set
    assert _strlen(interrupt) == 0


def test_cancel_of_an_ended_request_stops_nothing() -> None:
    interrupt = Interrupt()
    interrupt.begin(4)

    interrupt.cancel(3)

    assert not interrupt.is_set


def test_request_cancelled_before_it_began_does_not_run() -> None:
    interrupt = Interrupt()
    interrupt.begin(1)
    interrupt.cancel(2)

    interrupt.begin(2)

    assert interrupt.is_set
