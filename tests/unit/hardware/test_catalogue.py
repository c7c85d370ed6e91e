from __future__ import annotations

import pytest

from backends.device import DeviceKind
from localr1.errors import UsageError
from localr1.hardware.catalogue import find_profile, profiles
from localr1.units import GIB


@pytest.mark.parametrize(
    ("name", "gib", "gigabytes_per_s", "kind"),
    [
        ("rtx-4090", 24, 1008, DeviceKind.CUDA),
        ("rtx-3060", 12, 360, DeviceKind.CUDA),
        ("rtx-4060-laptop", 8, 256, DeviceKind.CUDA),
        ("rtx-5090", 32, 1792, DeviceKind.CUDA),
        ("rx-7900-xtx", 24, 960, DeviceKind.ROCM),
        ("m1-max-64gb", 64, 400, DeviceKind.METAL),
        ("m2-ultra-192gb", 192, 800, DeviceKind.METAL),
        ("m3-ultra-512gb", 512, 819, DeviceKind.METAL),
        ("arc-a770", 16, 560, DeviceKind.VULKAN),
        ("arc-b580", 12, 456, DeviceKind.VULKAN),
        ("ryzen-ai-max-395-128gb", 128, 256, DeviceKind.VULKAN),
        ("pc-16gb", 16, 51.2, DeviceKind.CPU),
    ],
)
def test_well_known_hardware_is_there(
    name: str, gib: int, gigabytes_per_s: float, kind: DeviceKind
) -> None:
    profile = find_profile(name)

    assert profile.memory_bytes == gib * GIB
    assert profile.bytes_per_s == pytest.approx(gigabytes_per_s * 1e9)
    assert profile.kind is kind


@pytest.mark.parametrize("spelling", ["RTX 4090", "rtx_4090", " rtx-4090 ", "rtx4090", "4090"])
def test_a_name_may_be_spelled_freely(spelling: str) -> None:
    assert find_profile(spelling).name == "rtx-4090"


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [("40", "rtx-4060"), ("m1-max", "m1-max-64gb"), ("rtx-4900", "rtx-4090")],
)
def test_a_wrong_name_is_answered_with_the_nearest(wrong: str, nearest: str) -> None:
    with pytest.raises(UsageError) as refused:
        find_profile(wrong)

    assert nearest in refused.value.hint
    assert "devices --profiles" in refused.value.hint


def test_nothing_near_is_not_made_up() -> None:
    with pytest.raises(UsageError) as refused:
        find_profile("toaster")

    assert "nearest" not in refused.value.hint


def test_every_profile_is_plausible_and_says_where_it_comes_from() -> None:
    for name, profile in profiles().items():
        assert name == profile.name
        assert profile.source
        assert 4 * GIB <= profile.memory_bytes <= 512 * GIB
        assert 50e9 <= profile.bytes_per_s <= 2000e9
        assert profile.flops is None or 2e12 <= profile.flops <= 300e12
        lowest, highest = profile.taken_bytes
        assert 0 <= lowest <= highest < profile.memory_bytes / 2
        # only what drives a card through Vulkan is known to limit single allocations
        assert (profile.max_alloc_bytes is not None) is (profile.kind is DeviceKind.VULKAN)


def test_consumer_cards_reach_from_4_to_32_gb_in_both_forms() -> None:
    cards = [profile for profile in profiles().values() if profile.kind is DeviceKind.CUDA]

    sizes = {card.memory_bytes // GIB for card in cards if "laptop" not in card.name}
    laptop_sizes = {card.memory_bytes // GIB for card in cards if "laptop" in card.name}
    assert {4, 6, 8, 10, 11, 12, 16, 24, 32} <= sizes
    assert {4, 6, 8, 12, 16, 24} <= laptop_sizes


@pytest.mark.parametrize("generation", ["m1", "m2", "m3", "m4", "m5"])
def test_every_generation_of_apple_silicon_has_its_sizes(generation: str) -> None:
    names = [name for name in profiles() if name.startswith(generation)]

    assert {name.rsplit("-", 1)[0] for name in names} >= {
        generation, f"{generation}-pro", f"{generation}-max"
    }  # fmt: skip
