from __future__ import annotations

import pytest

from backends.device import DeviceKind
from backends.machine import HostFacts, Machine, host_facts
from backends.probe import Hardware, find_hardware, missing_support
from tests.support.fake_llama import CPU, CUDA0
from tests.support.fake_machine import FakeMachine

_RTX = "/proc/driver/nvidia/gpus/0000:01:00.0/information"
_OWN_GROUP = {"/proc/self/cgroup": "0::/\n"}
_INFORMATION = "Model: \t\t NVIDIA GeForce RTX 4090\nIRQ:   \t\t 95\n"


def _pci(vendor: str, kind_class: str = "0x030000") -> dict[str, str]:
    folder = "/sys/bus/pci/devices/0000:01:00.0"
    return {
        f"{folder}/vendor": f"{vendor}\n",
        f"{folder}/class": f"{kind_class}\n",
        f"{folder}/device": "0x2684\n",
    }


def test_nvidia_card_with_its_driver_is_named() -> None:
    machine = FakeMachine(files={_RTX: _INFORMATION, **_pci("0x10de")})

    assert find_hardware(machine) == (
        Hardware(DeviceKind.CUDA, "NVIDIA GeForce RTX 4090", has_driver=True),
    )


def test_nvidia_smi_knows_where_proc_does_not() -> None:
    machine = FakeMachine(commands={"nvidia-smi": "NVIDIA H100\nNVIDIA H100\n"})

    assert [card.name for card in find_hardware(machine)] == ["NVIDIA H100"] * 2


@pytest.mark.parametrize("kind_class", ["0x030000", "0x030200"], ids=["display", "3d"])
def test_nvidia_card_without_driver_is_seen_on_the_bus(kind_class: str) -> None:
    (card,) = find_hardware(FakeMachine(files=_pci("0x10de", kind_class)))

    assert card.kind is DeviceKind.CUDA
    assert not card.has_driver


def test_amd_card_is_seen_on_the_bus() -> None:
    (card,) = find_hardware(FakeMachine(files={**_pci("0x1002"), "/dev/kfd": ""}))

    assert card.kind is DeviceKind.ROCM
    assert card.has_driver


def test_network_card_of_the_same_maker_is_no_gpu() -> None:
    assert find_hardware(FakeMachine(files=_pci("0x10de", "0x020000"))) == ()


def test_apple_silicon_has_metal() -> None:
    machine = FakeMachine(
        system="Darwin", architecture="arm64", commands={"sysctl": "Apple M2 Ultra\n"}
    )

    assert find_hardware(machine) == (
        Hardware(DeviceKind.METAL, "Apple M2 Ultra", has_driver=True),
    )


def test_intel_mac_has_none() -> None:
    assert find_hardware(FakeMachine(system="Darwin")) == ()


_CARD = Hardware(DeviceKind.CUDA, "RTX 4090", has_driver=True)


def test_build_without_cuda_gets_the_command() -> None:
    (advice,) = missing_support([_CARD], [CPU], supports_gpu_offload=False)

    assert advice.command == (
        'CMAKE_ARGS="-DGGML_CUDA=on" python -m pip install '
        "--force-reinstall --no-cache-dir llama-cpp-python"
    )
    assert "without" in advice.reason


@pytest.mark.parametrize(
    ("kind", "flag"),
    [(DeviceKind.METAL, "-DGGML_METAL=on"), (DeviceKind.ROCM, "-DGGML_HIP=on")],
)
def test_every_kind_has_its_flag(kind: DeviceKind, flag: str) -> None:
    card = Hardware(kind, "card", has_driver=True)

    assert flag in missing_support([card], [CPU], supports_gpu_offload=False)[0].command


def test_card_that_is_driven_needs_no_advice() -> None:
    assert missing_support([_CARD], [CUDA0, CPU], supports_gpu_offload=True) == ()


def test_missing_driver_comes_first() -> None:
    card = Hardware(DeviceKind.CUDA, "RTX 4090", has_driver=False)

    (advice,) = missing_support([card], [CPU], supports_gpu_offload=False)

    assert "driver" in advice.reason
    assert advice.command == ""


def test_gpu_build_that_sees_no_card_is_told_apart() -> None:
    (advice,) = missing_support([_CARD], [CPU], supports_gpu_offload=True)

    assert "sees none" in advice.reason


@pytest.mark.parametrize(
    ("machine", "n_cores"),
    [
        (FakeMachine(), 8),
        (FakeMachine(n_allowed_cpus=2), 2),
        (FakeMachine(files=_OWN_GROUP | {"/sys/fs/cgroup/cpu.max": "350000 100000\n"}), 3),
        (FakeMachine(files=_OWN_GROUP | {"/sys/fs/cgroup/cpu.max": "50000 100000\n"}), 1),
    ],
    ids=["free", "affinity", "quota", "half a core"],
)
def test_cores_are_those_this_process_may_use(machine: Machine, n_cores: int) -> None:
    assert host_facts(machine) == HostFacts(n_cores=n_cores)


def test_this_machine_can_be_read() -> None:
    machine = Machine()

    assert host_facts(machine).n_cores >= 1
    assert machine.read("/no/such/file") is None
    assert machine.names_in("/no/such/folder") == []
    assert machine.output_of("no-such-command") is None
    assert machine.output_of("false") is None
