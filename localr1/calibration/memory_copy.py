"""Owns how fast this machine copies memory, measured without an engine in a quarter of a second."""

from __future__ import annotations

import ctypes
import time
from concurrent.futures import ThreadPoolExecutor

from localr1.units import MIB

_COPIED_BYTES = 64 * MIB
_MOST_COPIES = 8
_PATIENCE_S = 0.1

_Block = ctypes.Array[ctypes.c_char]


def copy_bytes_per_s(n_threads: int) -> list[float]:
    """Bytes read and written per second while all threads copy, in several tries."""
    n_bytes = _COPIED_BYTES // n_threads

    def copy(pair: tuple[_Block, _Block]) -> float:
        # not by the clock on the wall, which runs on while others have the processor
        started_s = time.thread_time()
        ctypes.memmove(*pair, n_bytes)  # lets other threads run meanwhile
        return 2 * n_bytes / max(time.thread_time() - started_s, 1e-9)

    rates: list[float] = []
    with ThreadPoolExecutor(n_threads) as pool:
        pairs = list(pool.map(_pair, [n_bytes] * n_threads))
        until_s = time.perf_counter() + _PATIENCE_S
        while not rates or (len(rates) < _MOST_COPIES and time.perf_counter() < until_s):
            rates.append(sum(pool.map(copy, pairs)))
    return rates


def _pair(n_bytes: int) -> tuple[_Block, _Block]:
    """Two blocks whose memory is really there."""
    blocks = ctypes.create_string_buffer(n_bytes), ctypes.create_string_buffer(n_bytes)
    for block in blocks:
        ctypes.memset(block, 1, n_bytes)
    return blocks
