"""Owns the choice of devices, and which function turns a request into their parameters. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from backends.cpu import cpu_parameters
from backends.cuda import cuda_parameters
from backends.device import Device, DeviceKind
from backends.errors import DeviceNotFoundError
from backends.machine import HostFacts
from backends.metal import metal_parameters
from backends.parameters import EngineParameters, LoadRequest

_Translate = Callable[[LoadRequest, Sequence[Device], HostFacts], EngineParameters]

# best first; a card that shows up under two kinds is used through the better one
_GPU_KINDS: dict[DeviceKind, _Translate] = {
    DeviceKind.CUDA: cuda_parameters,
    DeviceKind.METAL: metal_parameters,
    DeviceKind.ROCM: cuda_parameters,
    DeviceKind.SYCL: cuda_parameters,
    DeviceKind.VULKAN: cuda_parameters,
}

_OFFLOADED_KINDS = {**_GPU_KINDS, DeviceKind.RPC: cuda_parameters}


def choose_devices(devices: Sequence[Device], wanted: str | None = None) -> tuple[Device, ...]:
    """The devices to load on, most free memory first; empty means the processor.

    `wanted` names devices (`CUDA1`, `CUDA0,CUDA1`) or a kind (`cuda`, `cpu`), in any case;
    without it all GPUs of the best kind are taken, integrated ones only where there is no other,
    and before them those of RPC servers, which are there only because somebody named the server.
    Raises: DeviceNotFoundError, listing what there is.
    """
    if wanted is not None:
        return _by_name(devices, wanted)
    # in front as in llama.cpp, so that what is computed crosses the network once
    remote = _most_free_first([device for device in devices if device.kind is DeviceKind.RPC])
    for kind in _GPU_KINDS:
        of_kind = [device for device in devices if device.kind is kind]
        discrete = [device for device in of_kind if not device.is_unified]
        if of_kind:
            return remote + _most_free_first(discrete or of_kind)
    return remote


def engine_parameters(
    request: LoadRequest, chosen: Sequence[Device], host: HostFacts
) -> EngineParameters:
    """llama.cpp's parameters for a request on the chosen devices; none means the processor."""
    gpus = [device for device in chosen if device.kind in _OFFLOADED_KINDS]
    if not gpus:
        return cpu_parameters(request, host)
    return _OFFLOADED_KINDS[gpus[0].kind](request, gpus, host)


def cpu_fallback(parameters: EngineParameters) -> EngineParameters:
    """The same load without any GPU, for when the GPU failed."""
    return replace(
        parameters,
        devices=(),
        n_gpu_layers=0,
        split_mode="none",
        tensor_split=(),
        n_host_experts=0,
    )


def _by_name(devices: Sequence[Device], wanted: str) -> tuple[Device, ...]:
    words = [word.strip().lower() for word in wanted.split(",") if word.strip()]
    found = {
        word: [device for device in devices if word in (device.name.lower(), device.kind.value)]
        for word in words
    }
    missing = [word for word, matches in found.items() if not matches]
    if missing or not words:
        raise DeviceNotFoundError(
            f"no device is called {missing[0] if missing else wanted!r}",
            hint="there are: " + ", ".join(f"{d.name} ({d.kind})" for d in devices),
        )
    chosen = {device.name: device for matches in found.values() for device in matches}
    return _most_free_first([d for d in chosen.values() if d.kind is not DeviceKind.CPU])


def _most_free_first(devices: Sequence[Device]) -> tuple[Device, ...]:
    return tuple(sorted(devices, key=lambda device: -device.free_bytes))
