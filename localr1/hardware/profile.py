"""Owns what is known of one kind of hardware: memory, bandwidth, compute, and who says so.

A profile is a row of a data sheet, no measurement. Memory is as sold; what a driver, a desktop or
the system takes of it is a range, because it differs from one machine to the next.
"""

from __future__ import annotations

from dataclasses import dataclass

from backends.allocation_limits import VULKAN_BUFFER_BYTES
from backends.device import DeviceKind
from localr1.units import GIB

NVIDIA_SHEETS = "NVIDIA's product pages and architecture whitepapers"
AMD_SHEETS = "AMD's product pages"
INTEL_SHEETS = "Intel's product specifications"
APPLE_SHEETS = "Apple's press releases and technical specifications"


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One graphics card, one Mac or one PC."""

    name: str
    """As it is written after `--on`."""
    title: str
    kind: DeviceKind
    """What drives it; `cpu` for a PC without a card."""
    memory_bytes: int
    """A card's own memory, else the machine's."""
    bytes_per_s: float
    """Bandwidth of that memory by the data sheet."""
    flops: float | None = None
    """Half-precision matrix operations a second by the data sheet; None where it is not known
    or depends on how the card is cooled."""
    taken_bytes: tuple[int, int]
    """What desktop and other programs, or the operating system, take of it: from, to."""
    source: str
    gpu_share: float | None = None
    """In a PC whose GPU has no memory of its own: how much of the machine's it may use."""
    buffer_bytes: int | None = None
    """As for `Device`."""
    max_alloc_bytes: int | None = None

    @property
    def is_mac(self) -> bool:
        """Whether it is a Mac, whose GPU may use what macOS says."""
        return self.kind is DeviceKind.METAL

    @property
    def is_unified(self) -> bool:
        """Whether processor and GPU share this memory."""
        return self.is_mac or self.gpu_share is not None

    @property
    def is_card(self) -> bool:
        """Whether it is a graphics card, to be put into a machine."""
        return not self.is_unified and self.kind is not DeviceKind.CPU


def card(
    row: tuple[str, int, float, float | None],
    *,
    maker: str,
    kind: DeviceKind,
    source: str,
    max_alloc_bytes: int | None = None,
) -> Profile:
    """A card from (name, GiB, GB/s, TFLOPS). In laptops the desktop is often drawn elsewhere.

    `max_alloc_bytes` is what a Vulkan driver gives at once.
    """
    name, gib, gigabytes_per_s, teraflops = row
    is_laptop = "laptop" in name
    return Profile(
        name=name,
        title=f"{maker} {_spelled(name)}",
        kind=kind,
        memory_bytes=gib * GIB,
        bytes_per_s=gigabytes_per_s * 1e9,
        flops=None if teraflops is None else teraflops * 1e12,
        taken_bytes=(0, GIB // 2 if is_laptop else GIB),
        source=source,
        buffer_bytes=None if max_alloc_bytes is None else VULKAN_BUFFER_BYTES,
        max_alloc_bytes=max_alloc_bytes,
    )


def _spelled(name: str) -> str:
    """`rtx-4070-ti-laptop` as `RTX 4070 Ti Laptop`."""
    spelled = {"ti": "Ti", "laptop": "Laptop"}
    return " ".join(spelled.get(word, word.upper()) for word in name.split("-"))
