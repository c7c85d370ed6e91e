from __future__ import annotations

import pytest

from backends.allocation_limits import AMD_DRIVER_MAX_BYTES, VULKAN_MAX_BYTES, allocation_limits
from backends.device import DeviceKind

_GIB = 2**30


@pytest.mark.parametrize("kind", DeviceKind)
def test_a_backend_that_knows_no_limit_has_none(kind: DeviceKind) -> None:
    assert allocation_limits(kind, 2**64 - 1, "", {}) == (None, None)


def test_what_metal_answers_is_a_limit() -> None:
    # M1 with 16 GB (published load log)
    assert (
        allocation_limits(DeviceKind.METAL, 9_534_832_640, "Apple M1", {}) == (9_534_832_640,) * 2
    )


def test_what_vulkan_answers_is_a_wish_and_its_limit_is_known_otherwise() -> None:
    mesa, amds = "AMD Radeon Graphics (RADV VEGA20)", "AMD Radeon RX 7800 XT"
    forced = {"GGML_VK_FORCE_MAX_BUFFER_SIZE": str(3 * _GIB)}

    assert allocation_limits(DeviceKind.VULKAN, _GIB, mesa, {}) == (_GIB, VULKAN_MAX_BYTES)
    assert allocation_limits(DeviceKind.VULKAN, _GIB, amds, {}) == (_GIB, AMD_DRIVER_MAX_BYTES)
    assert allocation_limits(DeviceKind.VULKAN, _GIB, amds, forced) == (_GIB, 3 * _GIB)


def test_sycl_can_be_given_more_than_it_says() -> None:
    assert allocation_limits(DeviceKind.SYCL, 4 * _GIB, "Arc", {}) == (4 * _GIB, None)
