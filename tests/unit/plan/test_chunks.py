from __future__ import annotations

from localr1.plan.arena import Peak
from localr1.plan.chunks import Chunks


def test_what_fits_into_one_buffer_stays_there() -> None:
    memory = Chunks(32, 1024)

    first = memory.take(512)
    memory.take(512)
    memory.give_back(first, 512)
    memory.take(256)

    assert memory.peak == Peak(1024, 1024)


def test_a_second_buffer_is_begun_when_the_first_is_full() -> None:
    memory = Chunks(32, 1024)

    for _ in range(3):
        memory.take(512)

    assert memory.peak == Peak(1024 + 512, 1024)


def test_memory_that_was_given_back_is_taken_before_a_buffer_grows() -> None:
    memory = Chunks(32, 1024)
    memory.take(768)
    second = memory.take(512)
    memory.give_back(second, 512)

    memory.take(256)

    # at the end of the second buffer, which has that much already, not of the first
    assert memory.peak == Peak(768 + 512, 768)


def test_what_no_buffer_may_hold_gets_a_larger_one() -> None:
    memory = Chunks(32, 1024)

    memory.take(100)
    memory.take(5000)

    assert memory.peak == Peak(128 + 5024, 5024)


def test_the_sixteenth_buffer_has_no_end() -> None:
    memory = Chunks(32, 64)

    for _ in range(20):
        memory.take(64)

    assert memory.peak == Peak(20 * 64, 5 * 64)
