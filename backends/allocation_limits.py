"""Owns what drivers grant in a single allocation, where that is less than the device has. Pure.

ggml asks each backend how large a buffer may be (`ggml_backend_buft_get_max_size`), and fills
several. What the answer means differs. Metal's and OpenCL's is a limit of the driver. Vulkan's is
a wish, 1 GiB; its limit (`maxBufferSize`, checked in ggml-vulkan-buffers.cpp) is not told. SYCL's
is a wish as well: larger buffers are asked for with `ze_relaxed_allocation_limits_exp_desc_t`
(ggml-sycl/common.cpp). What is behind an RPC server cannot be known.
Source: ggml/src of llama.cpp as of llama-cpp-python 0.3.36.
"""

from __future__ import annotations

from collections.abc import Mapping

from backends.device import DeviceKind

VULKAN_BUFFER_BYTES = 2**30
"""`suballocation_block_size` in ggml-vulkan.cpp."""
VULKAN_MAX_BYTES = 2**32 - 4
"""What Mesa's drivers for AMD and Intel grant: a buffer of 4,305,588,224 bytes was refused."""
AMD_DRIVER_MAX_BYTES = 2**31
"""What AMD's own driver grants: 2,166,360,064 and 2,495,610,880 bytes were refused."""

_NO_LIMIT = 2**48
"""A backend without a limit answers SIZE_MAX."""
_WISHES = frozenset({DeviceKind.SYCL, DeviceKind.RPC})


def allocation_limits(
    kind: DeviceKind, max_size: int, description: str, environment: Mapping[str, str]
) -> tuple[int | None, int | None]:
    """`buffer_bytes` and `max_alloc_bytes` of a device whose backend answers `max_size`.

    Mesa's driver writes its name, RADV, into the description of AMD's cards; AMD's own does not.
    """
    if max_size >= _NO_LIMIT:
        return None, None
    if kind is DeviceKind.VULKAN:
        forced = environment.get("GGML_VK_FORCE_MAX_BUFFER_SIZE", "")
        is_amds = description.startswith("AMD") and "RADV" not in description
        known_bytes = AMD_DRIVER_MAX_BYTES if is_amds else VULKAN_MAX_BYTES
        return max_size, int(forced) if forced.isdecimal() else known_bytes
    return max_size, None if kind in _WISHES else max_size
