"""Owns how a load request becomes llama.cpp's parameters on cards with memory of their own.

CUDA first of all; ROCm, Vulkan, SYCL and the devices of RPC servers take the same parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from backends.cpu import cpu_parameters
from backends.device import Device
from backends.machine import HostFacts
from backends.parameters import EngineParameters, LoadRequest


def cuda_parameters(
    request: LoadRequest, devices: Sequence[Device], host: HostFacts
) -> EngineParameters:
    """The request on one card, or with its layers spread over several by free memory."""
    return replace(
        cpu_parameters(request, host),
        devices=tuple(device.name for device in devices),
        n_gpu_layers=request.n_offloaded,
        split_mode="layer" if len(devices) > 1 else "none",
        tensor_split=request.layers_per_device if len(devices) > 1 else (),
        n_host_experts=request.n_host_experts,
    )
