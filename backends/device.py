"""Owns the description of a compute device, as data that any other part can hold or print."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class DeviceKind(StrEnum):
    """What drives the device. The words are ggml's backend registry names in lower case."""

    CPU = "cpu"
    CUDA = "cuda"
    METAL = "metal"
    ROCM = "rocm"
    VULKAN = "vulkan"
    SYCL = "sycl"
    RPC = "rpc"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Device:
    """One device of ggml's registry."""

    name: str
    """ggml's name: `CPU`, `CUDA0`, `Metal`; what `--device` takes."""
    kind: DeviceKind
    description: str
    total_bytes: int
    free_bytes: int
    is_unified: bool = False
    """True where CPU and device share one memory (Apple silicon, integrated GPUs)."""
    buffer_bytes: int | None = None
    """What llama.cpp puts into one buffer at most, a larger tensor apart; None is any size."""
    max_alloc_bytes: int | None = None
    """The largest single buffer that the driver gives; None if no limit is known."""
