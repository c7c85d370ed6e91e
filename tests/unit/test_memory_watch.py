"""Warnings about memory, on a machine whose memory a test moves."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from localr1.memory_watch import Claim, MemoryWatch, claim_of
from localr1.units import GIB, MIB
from localr1.worker.frames import (
    DeviceMemory,
    GenerationEnd,
    GenerationFrame,
    MeasuredBuffer,
    TokenPiece,
)
from localr1.worker.vitals import MemoryNow

_CLAIM = Claim(mapped_bytes=4 * GIB, own_bytes=2 * GIB)
_TOKEN = TokenPiece(id=1, text="a")
_END = GenerationEnd(
    reason="eog",
    text="",
    n_prompt=1,
    n_cached=0,
    n_generated=1,
    prefill_s=0.0,
    decode_s=0.0,
    n_ctx_used=2,
    resident_bytes=GIB,
)


@dataclass
class _Room:
    """A Linux machine of 16 GiB, with the model's own 2 GiB all resident."""

    available_bytes: int = 10 * GIB
    own_bytes: int | None = 2 * GIB
    now_s: float = 0.0
    n_looks: int = 0
    is_gone: bool = False
    watch: MemoryWatch = field(init=False)

    def __post_init__(self) -> None:
        self.watch = MemoryWatch(_CLAIM, self._look, clock=lambda: self.now_s)

    def _look(self) -> MemoryNow | None:
        self.n_looks += 1
        if self.is_gone:
            return None
        return MemoryNow(
            total_bytes=16 * GIB,
            available_bytes=self.available_bytes,
            resident_bytes=3 * GIB,
            own_bytes=self.own_bytes,
        )

    def later(self, available_bytes: int, frame: GenerationFrame = _TOKEN) -> list[str]:
        self.now_s += 10
        self.available_bytes = available_bytes
        notices = self.watch.see(frame)
        assert all(notice.code == "memory_pressure" for notice in notices)
        return [notice.message for notice in notices]


def test_plenty_of_memory_is_not_worth_a_word() -> None:
    assert _Room().later(10 * GIB) == []


def test_each_level_is_told_once_with_its_numbers() -> None:
    room = _Room()

    (tight,) = room.later(4 * GIB + 300 * MIB)
    assert "4.3 GiB available, the model needs 4.0 GiB" in tight
    assert "300 MiB is left" in tight
    assert room.later(4 * GIB + 200 * MIB) == []
    (short,) = room.later(3 * GIB)
    assert "memory is short: 3.0 GiB available, the model needs 4.0 GiB" in short
    assert room.later(2 * GIB) == []
    assert room.later(10 * GIB) == []
    assert room.later(2 * GIB) == []


def test_the_worst_comes_without_the_lesser_after_it() -> None:
    room = _Room()

    assert len(room.later(3 * GIB)) == 1
    assert room.later(4 * GIB + 300 * MIB) == []


def test_memory_that_is_reserved_and_not_yet_touched_is_needed_as_well() -> None:
    room = _Room(own_bytes=GIB)

    (message,) = room.later(5 * GIB + 100 * MIB)

    assert "the model needs 5.0 GiB" in message


def test_where_mapped_pages_in_use_are_not_called_available_only_the_rest_is_needed() -> None:
    room = _Room(own_bytes=None)  # 3 of 6 GiB are resident

    assert room.later(4 * GIB) == []
    (message,) = room.later(3 * GIB + 100 * MIB)
    assert "the model needs 3.0 GiB" in message


def test_nobody_looks_at_every_token() -> None:
    room = _Room()

    for _ in range(100):
        room.now_s += 0.01
        room.watch.see(_TOKEN)

    assert room.n_looks == 1


def test_the_end_of_a_reply_is_always_looked_at() -> None:
    room = _Room()
    room.watch.see(_TOKEN)
    room.available_bytes = 3 * GIB

    assert len(room.watch.see(_END)) == 1


def test_an_engine_that_is_gone_is_not_the_memorys_fault() -> None:
    assert _Room(is_gone=True).later(0) == []


def test_a_device_that_others_fill_is_told_once() -> None:
    room = _Room()
    free = DeviceMemory(name="CUDA0", free_bytes=GIB)
    taken = replace(free, free_bytes=100 * MIB)

    assert room.later(10 * GIB, replace(_END, devices=(free,))) == []
    (message,) = room.later(10 * GIB, replace(_END, devices=(taken,)))
    assert message.startswith("CUDA0 has 100 MiB left")
    assert room.later(10 * GIB, replace(_END, devices=(taken,))) == []


@pytest.mark.parametrize(
    ("device", "claim"),
    [
        ("CPU_Mapped", Claim(mapped_bytes=60, own_bytes=5)),
        ("CPU_REPACK", Claim(mapped_bytes=0, own_bytes=105)),
        ("CPU", Claim(mapped_bytes=0, own_bytes=105)),
        ("CUDA_Host", Claim(mapped_bytes=0, own_bytes=105)),
        ("CUDA0", Claim(mapped_bytes=0, own_bytes=5)),
        ("MTL0_Mapped", Claim(mapped_bytes=60, own_bytes=5)),
    ],
)
def test_a_claim_is_what_lies_in_the_machines_own_memory(device: str, claim: Claim) -> None:
    buffer = MeasuredBuffer(device=device, purpose="weights", n_bytes=100)

    assert claim_of([buffer], unused_bytes=40, process_bytes=5, unified=["MTL0"]) == claim
