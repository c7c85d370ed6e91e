"""Owns how a load request becomes llama.cpp's parameters on Apple silicon.

Processor and GPU share one memory: mapping the file is free, and there is only ever one device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from backends.cpu import cpu_parameters
from backends.device import Device
from backends.machine import HostFacts
from backends.parameters import EngineParameters, LoadRequest


def metal_parameters(
    request: LoadRequest, devices: Sequence[Device], host: HostFacts
) -> EngineParameters:
    """The request on the Mac's GPU."""
    return replace(
        cpu_parameters(request, host),
        devices=(devices[0].name,),
        n_gpu_layers=request.n_offloaded,
        n_host_experts=request.n_host_experts,
    )
