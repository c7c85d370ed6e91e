"""Owns the memory of one compute buffer: which hole a piece gets, and how far it was ever filled.

Mirrors `ggml_dyn_tallocr_*` (ggml/src/ggml-alloc.c) of llama.cpp at the pinned version.
"""

from __future__ import annotations

import math
from bisect import bisect
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol


class Peak(NamedTuple):
    """What a backend needs to run a graph."""

    n_bytes: int
    largest_bytes: int
    """The largest of the buffers that it is spread over; most are one buffer."""


@dataclass(slots=True)
class Arena:
    """Free blocks of one buffer, sorted by offset; the last one has no end, unless one is given."""

    alignment: int
    peak_bytes: int = 0
    blocks: list[tuple[int, float]] = field(default_factory=lambda: [(0, math.inf)])

    @property
    def peak(self) -> Peak:
        """How far it was ever filled."""
        return Peak(self.peak_bytes, self.peak_bytes)

    def take(self, n_bytes: int) -> int:
        """The smallest hole that is big enough, else the open end."""
        size = self.padded(n_bytes)
        hole = self.hole(size)
        return self.put(len(self.blocks) - 1 if hole is None else hole, size)

    def hole(self, size: int) -> int | None:
        """The number of the smallest block but the last that is big enough; the later of equals."""
        found, best = None, math.inf
        for i, (_, length) in enumerate(self.blocks[:-1]):
            if size <= length <= best:
                found, best = i, length
        return found

    def put(self, i: int, size: int) -> int:
        """Take the beginning of a block; returns where it is."""
        offset, length = self.blocks[i]
        if length == size:
            del self.blocks[i]
        else:
            self.blocks[i] = (offset + size, length - size)
        self.peak_bytes = max(self.peak_bytes, offset + size)
        return offset

    def give_back(self, offset: int, size: int) -> None:
        """Return `size` bytes, already padded, and join them with their neighbours."""
        i = bisect(self.blocks, (offset, math.inf))
        length: float = size
        if i < len(self.blocks) and offset + size == self.blocks[i][0]:
            length += self.blocks.pop(i)[1]
        if i > 0 and self.blocks[i - 1][0] + self.blocks[i - 1][1] == offset:
            i -= 1
            before, before_length = self.blocks.pop(i)
            offset, length = before, before_length + length
        self.blocks.insert(i, (offset, length))

    def padded(self, n_bytes: int) -> int:
        """`n_bytes` up to the next multiple of the alignment."""
        return -(-n_bytes // self.alignment) * self.alignment


class Memory(Protocol):
    """Where a backend keeps what it computes: one buffer, or several."""

    @property
    def peak(self) -> Peak: ...  # noqa: D102 - as `Arena` has it

    def take(self, n_bytes: int) -> int: ...  # noqa: D102
    def give_back(self, offset: int, size: int) -> None: ...  # noqa: D102
    def padded(self, n_bytes: int) -> int: ...  # noqa: D102
