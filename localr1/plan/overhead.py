"""Owns what a loaded model takes beside llama.cpp's buffers: the process, the driver. Ranges."""

from __future__ import annotations

from backends.device import Device, DeviceKind
from localr1.plan.hardware import HOST, Hardware
from localr1.units import MIB

# The engine's process beside its buffers, measured on Linux x86-64: interpreter and libraries
# 42 MiB, a tokenizer 170 to 340 bytes per token of the vocabulary, work buffers up to 20 MiB.
_PROCESS_BYTES = (45 * MIB, 128 * MIB)
_VOCABULARY_BYTES = (160, 400)

# Kernels, work space and pools of a driver once a model runs. Its context is there already when
# free memory is read. Of published loads, one took 254 MiB more than its buffers (tools/fit-params
# of llama.cpp), with 488 MiB left one ran on, with 97 one started.
_DRIVER_BYTES = {DeviceKind.METAL: (0, 150 * MIB)}
_OTHER_DRIVER_BYTES = (50 * MIB, 256 * MIB)


def driver_bytes(gpu: Device, hardware: Hardware) -> tuple[int, int]:
    """From, to, of a GPU: its driver, and what others take."""
    driver = _DRIVER_BYTES.get(gpu.kind, _OTHER_DRIVER_BYTES)
    return _sum(driver, hardware.of(gpu.name).taken_bytes)


def process_bytes(n_vocab: int, hardware: Hardware) -> tuple[int, int]:
    """From, to, of the host: the engine's process, and what others take."""
    lowest, highest = (n_bytes * n_vocab for n_bytes in _VOCABULARY_BYTES)
    process = _sum(_PROCESS_BYTES, (lowest, highest))
    return _sum(process, hardware.of(HOST).taken_bytes)


def _sum(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    return one[0] + other[0], one[1] + other[1]
