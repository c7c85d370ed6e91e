"""Owns the profiles of Macs with Apple silicon, M1 to M5, and how much of one its GPU may use.

Processor and GPU share one memory. Metal keeps a GPU within `recommendedMaxWorkingSetSize`, a share
of the memory that depends on its size and on macOS; the shares are what published llama.cpp logs
print for 16 to 128 GB, to the hundredth of a megabyte. Other sizes take the nearest smaller share.
"""

from __future__ import annotations

from backends.device import DeviceKind
from localr1.hardware.profile import APPLE_SHEETS, Profile
from localr1.units import GIB

FIRST_NEWER_MACOS = 26
"""The first release with Metal 4, whose working sets are larger."""

# chip, GB/s, TFLOPS of the GPU in half precision, and the memory it is sold with in GiB; the
# smaller Max chips have fewer cores and a narrower memory
_CHIPS: tuple[tuple[str, float, float | None, tuple[int, ...]], ...] = (
    ("m1", 68.25, 2.6, (8, 16)),
    ("m1-pro", 200, 5.2, (16, 32)),
    ("m1-max", 400, 10.4, (32, 64)),
    ("m1-ultra", 800, 21.2, (64, 128)),
    ("m2", 100, 3.6, (8, 16, 24)),
    ("m2-pro", 200, 6.8, (16, 32)),
    ("m2-max", 400, 13.6, (32, 64, 96)),
    ("m2-ultra", 800, 27.2, (64, 128, 192)),
    ("m3", 100, 3.5, (8, 16, 24)),
    ("m3-pro", 150, 6.4, (18, 36)),
    ("m3-max", 300, 10.7, (36, 96)),
    ("m3-max", 400, 14.2, (48, 64, 128)),
    ("m3-ultra", 819, 28.3, (96, 256, 512)),
    ("m4", 120, 4.3, (16, 24, 32)),
    ("m4-pro", 273, 8.6, (24, 48, 64)),
    ("m4-max", 410, 14.7, (36,)),
    ("m4-max", 546, 18.4, (48, 64, 128)),
    ("m5", 153, None, (16, 24, 32)),
    ("m5-pro", 307, None, (24, 48, 64)),
    ("m5-max", 460, None, (36,)),
    ("m5-max", 614, None, (48, 64, 128)),
)

# share of the memory from that many GiB on
_OLDER_SHARES = ((0, 2 / 3), (36, 3 / 4))
_NEWER_SHARES = ((0, 0.74), (32, 0.78), (64, 0.81), (128, 0.84))


# of a working set of 12713 MB, logs print a longest buffer of 9534832640 bytes
_BUFFER_SHARE = 3 / 4


def macs() -> tuple[Profile, ...]:
    """Every chip with every size of memory it is sold with."""
    return tuple(
        Profile(
            name=f"{chip}-{gib}gb",
            title=f"Apple {chip.replace('-', ' ').title()}, {gib} GB",
            kind=DeviceKind.METAL,
            memory_bytes=gib * GIB,
            bytes_per_s=gigabytes_per_s * 1e9,
            flops=None if teraflops is None else teraflops * 1e12,
            # macOS with a browser open; on 8 GB it swaps and compresses to live with less
            taken_bytes=(2 * GIB, 3 * GIB) if gib <= 8 else (3 * GIB, 5 * GIB),
            source=APPLE_SHEETS,
        )
        for chip, gigabytes_per_s, teraflops, sizes in _CHIPS
        for gib in sizes
    )


def macos_of(profile: Profile) -> int:
    """The macOS to assume: the one before Metal 4, except on chips that came with a later one."""
    return FIRST_NEWER_MACOS if profile.name.startswith("m5") else FIRST_NEWER_MACOS - 1


def longest_buffer_bytes(memory_bytes: int, *, macos: int) -> int:
    """What Metal gives at once (`maxBufferLength`)."""
    return int(_BUFFER_SHARE * working_set_bytes(memory_bytes, macos=macos))


def working_set_bytes(memory_bytes: int, *, macos: int, wired_limit_mib: int = 0) -> int:
    """What Metal lets a GPU use. `wired_limit_mib` is `iogpu.wired_limit_mb`; 0 is not set."""
    if wired_limit_mib:
        return min(wired_limit_mib * 1024**2, memory_bytes)
    shares = _NEWER_SHARES if macos >= FIRST_NEWER_MACOS else _OLDER_SHARES
    share = max(
        (least_gib, share) for least_gib, share in shares if memory_bytes >= least_gib * GIB
    )
    return int(memory_bytes * share[1])
