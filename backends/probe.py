"""Owns what compute hardware is in this machine, found without llama.cpp.

A build of llama-cpp-python knows only what it was compiled for. Looking past it tells a person
with a good card why it stays idle, and what to install.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from backends.device import Device, DeviceKind
from backends.machine import Machine

_PCI = "/sys/bus/pci/devices"
_VENDORS = {"0x10de": (DeviceKind.CUDA, "NVIDIA"), "0x1002": (DeviceKind.ROCM, "AMD")}
_DISPLAY_CLASS = "0x03"  # PCI base class 03h: display controllers, compute-only cards included
_BUILD_FLAGS = {
    DeviceKind.CUDA: "-DGGML_CUDA=on",
    DeviceKind.METAL: "-DGGML_METAL=on",
    DeviceKind.ROCM: "-DGGML_HIP=on",
    DeviceKind.RPC: "-DGGML_RPC=on",
}


@dataclass(frozen=True, slots=True)
class Hardware:
    """A GPU that is physically there."""

    kind: DeviceKind
    """The backend that would drive it."""
    name: str
    has_driver: bool


@dataclass(frozen=True, slots=True)
class Advice:
    """A GPU that is there but cannot be used, why, and what to do."""

    hardware: Hardware
    reason: str
    command: str
    """What to run; empty where no single command helps."""


def find_hardware(machine: Machine) -> tuple[Hardware, ...]:
    """GPUs in this machine, by what the operating system shows."""
    if machine.system == "Darwin":
        return tuple(_apple(machine))
    found = tuple(_nvidia_with_driver(machine))
    has_nvidia = bool(found)
    return found + tuple(
        card for card in _pci_cards(machine) if not (has_nvidia and card.kind is DeviceKind.CUDA)
    )


def missing_support(
    hardware: Sequence[Hardware],
    devices: Sequence[Device],
    *,
    supports_gpu_offload: bool,
    python: str = "python",
) -> tuple[Advice, ...]:
    """Advice for hardware that none of llama.cpp's `devices` drives."""
    driven = {device.kind for device in devices}
    if DeviceKind.VULKAN in driven or DeviceKind.SYCL in driven:
        return ()  # drives cards of any maker
    return tuple(
        _advise(card, supports_gpu_offload=supports_gpu_offload, python=python)
        for card in hardware
        if card.kind not in driven
    )


def _advise(card: Hardware, *, supports_gpu_offload: bool, python: str) -> Advice:
    if not card.has_driver:
        return Advice(card, "its driver is not loaded; install the maker's driver first", "")
    if supports_gpu_offload:
        return Advice(
            card,
            "llama-cpp-python was built for GPUs but sees none of this kind: built for another "
            "kind, hidden by an environment variable, or the driver is too old",
            install_command(card.kind, python),
        )
    return Advice(card, "llama-cpp-python was built without it", install_command(card.kind, python))


def install_command(kind: DeviceKind, python: str) -> str:
    """What builds a llama-cpp-python that can use such devices."""
    return (
        f'CMAKE_ARGS="{_BUILD_FLAGS[kind]}" {python} -m pip install '
        "--force-reinstall --no-cache-dir llama-cpp-python"
    )


def _apple(machine: Machine) -> Iterator[Hardware]:
    if machine.architecture == "arm64":
        name = machine.output_of("sysctl", "-n", "machdep.cpu.brand_string") or "Apple silicon"
        yield Hardware(DeviceKind.METAL, name.strip(), has_driver=True)


def _nvidia_with_driver(machine: Machine) -> Iterator[Hardware]:
    """Cards the NVIDIA driver knows: from /proc, or from nvidia-smi where /proc is another's."""
    folder = "/proc/driver/nvidia/gpus"
    names = [
        line.partition(":")[2].strip()
        for address in machine.names_in(folder)
        for line in (machine.read(f"{folder}/{address}/information") or "").splitlines()
        if line.startswith("Model:")
    ]
    if not names:
        listed = machine.output_of("nvidia-smi", "--query-gpu=name", "--format=csv,noheader")
        names = [line.strip() for line in (listed or "").splitlines() if line.strip()]
    for name in names:
        yield Hardware(DeviceKind.CUDA, name, has_driver=True)


def _pci_cards(machine: Machine) -> Iterator[Hardware]:
    for address in machine.names_in(_PCI):
        vendor = (machine.read(f"{_PCI}/{address}/vendor") or "").strip()
        kind_class = (machine.read(f"{_PCI}/{address}/class") or "").strip()
        if vendor in _VENDORS and kind_class.startswith(_DISPLAY_CLASS):
            kind, maker = _VENDORS[vendor]
            device = (machine.read(f"{_PCI}/{address}/device") or "").strip()
            # NVIDIA's own driver was asked before; amdgpu offers compute through /dev/kfd
            has_driver = kind is DeviceKind.ROCM and "kfd" in machine.names_in("/dev")
            yield Hardware(kind, f"{maker} GPU {device} at {address}", has_driver=has_driver)
