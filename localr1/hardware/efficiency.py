"""Owns how much of a data sheet llama.cpp reaches, as ranges that published runs lie in.

Decoding: seconds per token = bytes read / (share x bandwidth) + operations x a fixed time, which is
written down for all operations of a Llama's layer. The runs are Llama-3 8B and 70B, Q4_K_M and F16,
on 3070 to 4090, M1 Max, M2 Ultra and M3 Max (benchmark collection of Xiongjie Dai, May 2024), and
the same models on M1 Max, M4 and M4 Max in 2026; tests/unit/hardware/test_published_speeds.py holds
them. The last column is the share of the sheet's half-precision compute while a prompt of 512
tokens is read, from the same tables.
"""

from __future__ import annotations

from dataclasses import dataclass

from backends.device import DeviceKind
from localr1.hardware.profile import Profile
from localr1.plan.rate import Prices, Range, Rate, WeightPrice
from localr1.plan.token_work import LLAMA_OPERATIONS


@dataclass(frozen=True, slots=True)
class _Efficiency:
    share: Range
    layer_s: Range
    flops_share: Range | None = None
    """None where no runs were found that say it."""


_CUDA = _Efficiency((0.70, 0.90), (40e-6, 90e-6), (0.45, 0.95))
_EFFICIENCIES = {
    DeviceKind.CUDA: _CUDA,
    DeviceKind.METAL: _Efficiency((0.45, 0.92), (60e-6, 200e-6), (0.45, 0.80)),
    # fewer runs were found: 7800 XT and 7900 XT, Llama 7B and 8B, with HIP
    DeviceKind.ROCM: _Efficiency((0.35, 0.80), (60e-6, 150e-6)),
    DeviceKind.VULKAN: _Efficiency((0.35, 0.80), (60e-6, 200e-6)),
    # i9-13900K with DDR5-6400: 18.3 tokens/s of Llama 7B Q4_0, 67 % (llama.cpp issue 34)
    DeviceKind.CPU: _Efficiency((0.50, 0.80), (10e-6, 60e-6)),
}
# the CPU clusters of a Max or Ultra cannot draw all of the memory's bandwidth
_SHARED_PROCESSOR = _Efficiency((0.30, 0.70), (10e-6, 60e-6))


def sheet_rate(profile: Profile) -> Rate:
    """What to expect of a device by its data sheet."""
    return _rate(profile, _EFFICIENCIES.get(profile.kind, _CUDA))


def shared_processor_rate(profile: Profile) -> Rate:
    """What to expect of a processor that shares the memory with the GPU."""
    return _rate(profile, _SHARED_PROCESSOR)


def _rate(profile: Profile, efficiency: _Efficiency) -> Rate:
    slow, fast = (
        Prices(
            weights=WeightPrice(
                byte_s=1 / (efficiency.share[end] * profile.bytes_per_s),
                flop_s=_flop_s(profile, efficiency, end),
            ),
            operation_s=efficiency.layer_s[1 - end] / LLAMA_OPERATIONS,
        )
        for end in (0, 1)
    )
    lowest, highest = efficiency.share
    source = f"{profile.source}; {lowest:.0%} to {highest:.0%} of the bandwidth"
    return Rate(slow=slow, fast=fast, source=source)


def _flop_s(profile: Profile, efficiency: _Efficiency, end: int) -> float | None:
    if profile.flops is None or efficiency.flops_share is None:
        return None
    return 1 / (efficiency.flops_share[end] * profile.flops)
