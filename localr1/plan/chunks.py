"""Owns how ggml spreads a compute buffer over several where a backend wants none to be larger.

Mirrors `ggml_dyn_tallocr_alloc` and `ggml_dyn_tallocr_new_chunk` (ggml/src/ggml-alloc.c) of
llama.cpp at the pinned version: there are at most sixteen chunks, the last without an end, and a
tensor that no chunk may hold gets a larger one, whether the backend can allocate that or not.
"""

from __future__ import annotations

import math

from localr1.plan.arena import Arena, Memory, Peak

_MOST_CHUNKS = 16  # GGML_VBUFFER_MAX_CHUNKS
_OFFSET_BITS = 56  # an address is the number of a chunk and the offset in it


def memory(alignment: int, max_bytes: int | None) -> Memory:
    """The memory of a backend that wants buffers of at most so many bytes; None of any size."""
    return Arena(alignment) if max_bytes is None else Chunks(alignment, max_bytes)


class Chunks:
    """The memory of a backend that wants buffers of at most `max_bytes`."""

    def __init__(self, alignment: int, max_bytes: int) -> None:
        self._alignment = alignment
        self._max_bytes = max_bytes
        self._chunks: list[Arena] = []

    @property
    def peak(self) -> Peak:
        """All chunks, and the largest of them."""
        sizes = [chunk.peak_bytes for chunk in self._chunks]
        return Peak(sum(sizes), max(sizes, default=0))

    def take(self, n_bytes: int) -> int:
        """A hole, else the end of a chunk that grows least, else a new chunk."""
        size = self.padded(n_bytes)
        found = self._hole(size) or self._end(size) or self._new(size)
        number, block = found
        return number << _OFFSET_BITS | self._chunks[number].put(block, size)

    def give_back(self, offset: int, size: int) -> None:
        """Return `size` bytes, already padded."""
        number = offset >> _OFFSET_BITS
        self._chunks[number].give_back(offset & ((1 << _OFFSET_BITS) - 1), size)

    def padded(self, n_bytes: int) -> int:
        """`n_bytes` up to the next multiple of the alignment."""
        return -(-n_bytes // self._alignment) * self._alignment

    def _hole(self, size: int) -> tuple[int, int] | None:
        """The best hole of the last chunk that has one."""
        holes = [(number, chunk.hole(size)) for number, chunk in enumerate(self._chunks)]
        return next(((number, i) for number, i in reversed(holes) if i is not None), None)

    def _end(self, size: int) -> tuple[int, int] | None:
        """The last block of the chunk that needs least more memory, else wastes least."""
        found, best = None, -math.inf
        for number, chunk in enumerate(self._chunks):
            if not chunk.blocks or chunk.blocks[-1][1] < size:
                continue
            left = chunk.peak_bytes - chunk.blocks[-1][0] - size
            if (best < 0 and left > best) or 0 <= left < best:
                found, best = (number, len(chunk.blocks) - 1), left
        return found

    def _new(self, size: int) -> tuple[int, int]:
        is_last = len(self._chunks) == _MOST_CHUNKS - 1
        length = math.inf if is_last else max(size, self._max_bytes)
        self._chunks.append(Arena(self._alignment, blocks=[(0, length)]))
        return len(self._chunks) - 1, 0
