from __future__ import annotations

import pytest

from backends.device import DeviceKind
from localr1.errors import UsageError
from localr1.hardware.machine import Wish, build_machine
from localr1.plan.hardware import HOST
from localr1.units import GIB


def test_cards_are_put_into_a_pc_which_is_said() -> None:
    machine = build_machine(Wish(names=("rtx-4090", "rtx-3060")))

    assert [device.name for device in machine.devices] == ["rtx-4090", "rtx-3060"]
    assert machine.host.total_bytes == 32 * GIB
    assert any("32 GB" in notice for notice in machine.notices)


def test_what_a_driver_shows_of_a_card_is_less_than_was_sold() -> None:
    (card,) = build_machine(Wish(names=("rtx-3090",))).devices

    assert card.total_bytes == 24 * GIB
    assert 24_080 <= card.free_bytes / 2**20 <= 24_160  # as published load logs print it


def test_two_cards_of_a_kind_have_two_names() -> None:
    machine = build_machine(Wish(names=("rtx-3090", "rtx-3090")))

    assert [device.name for device in machine.devices] == ["rtx-3090", "rtx-3090#2"]
    assert {"rtx-3090", "rtx-3090#2", HOST} == set(machine.known)


def test_bare_numbers_make_a_card_in_a_machine() -> None:
    machine = build_machine(Wish(ram_bytes=16 * GIB, vram_bytes=8 * GIB, bytes_per_s=256e9))

    (card,) = machine.devices
    rate = machine.known[card.name].rate
    assert (card.total_bytes, machine.host.total_bytes) == (8 * GIB, 16 * GIB)
    assert rate is not None
    assert rate.bytes_per_s[1] <= 256e9
    assumed, sheets = machine.notices
    assert assumed.startswith("the PC's own memory is assumed to have 51 GB/s")
    assert sheets == "bandwidths are those of data sheets"


def test_a_card_of_unknown_bandwidth_gets_one_which_is_said() -> None:
    machine = build_machine(Wish(ram_bytes=16 * GIB, vram_bytes=8 * GIB))

    assert any("300 GB/s" in notice for notice in machine.notices)


def test_memory_alone_makes_a_machine_without_a_card() -> None:
    machine = build_machine(Wish(ram_bytes=8 * GIB, bytes_per_s=40e9))

    rate = machine.known[HOST].rate
    assert machine.devices == ()
    assert rate is not None
    assert rate.bytes_per_s[1] <= 40e9
    assert not [notice for notice in machine.notices if "assumed" in notice]


def test_memory_whose_speed_was_not_given_is_said_to_be_assumed() -> None:
    machine = build_machine(Wish(names=("rtx-4090",), ram_bytes=512 * GIB))

    assert any("51 GB/s; say --bandwidth" in notice for notice in machine.notices)


def test_a_mac_shares_its_memory_and_limits_its_gpu() -> None:
    machine = build_machine(Wish(names=("m1-max-64gb",)))

    (gpu,) = machine.devices
    assert gpu.kind is DeviceKind.METAL
    assert gpu.is_unified
    assert gpu.free_bytes == 64 * GIB * 3 // 4
    assert machine.host.total_bytes == 64 * GIB
    assert machine.known[HOST].taken_bytes[1] == 5 * GIB


def test_macos_and_the_wired_limit_move_the_limit() -> None:
    newer = build_machine(Wish(names=("m1-max-64gb",), macos=26)).devices[0]
    raised = build_machine(Wish(names=("m1-max-64gb",), wired_limit_mib=60 * 1024)).devices[0]

    assert newer.free_bytes == int(64 * GIB * 0.81)
    assert raised.free_bytes == 60 * GIB


def test_metal_gives_three_quarters_of_its_limit_at_once() -> None:
    mac = build_machine(Wish(names=("m1-16gb",))).devices[0]

    assert mac.max_alloc_bytes == mac.buffer_bytes == mac.free_bytes * 3 // 4


def test_a_pc_may_share_its_memory_with_a_gpu() -> None:
    machine = build_machine(Wish(names=("ryzen-ai-max-395-64gb",)))

    (gpu,) = machine.devices
    assert gpu.is_unified
    assert gpu.free_bytes == 48 * GIB
    assert gpu.max_alloc_bytes == 2 * GIB
    assert machine.host.total_bytes == 64 * GIB
    assert any("48.0 GiB of 64.0 GiB" in notice for notice in machine.notices)


def test_a_driver_limits_what_a_card_gives_at_once() -> None:
    arc = build_machine(Wish(names=("arc-b580",))).devices[0]
    geforce = build_machine(Wish(names=("rtx-4090",))).devices[0]

    assert arc.buffer_bytes == GIB
    assert arc.max_alloc_bytes == 4 * GIB - 4
    assert geforce.max_alloc_bytes is None


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        (Wish(names=("m1-16gb", "rtx-4090")), "no slot"),
        (Wish(names=("ryzen-ai-max-395-64gb", "rx-580")), "no slot"),
        (Wish(names=("ryzen-ai-max-395-64gb",), macos=26), "about Macs"),
        (Wish(names=("pc-16gb", "m1-16gb")), "two machines"),
        (Wish(names=("m1-16gb",), ram_bytes=8 * GIB), "leave --ram out"),
        (Wish(names=("rtx-4090", "rx-7900-xtx")), "one maker"),
        (Wish(names=("rtx-4090",), macos=26), "about Macs"),
        (Wish(names=("rtx-4090",), bytes_per_s=1e9), "--bandwidth belongs"),
        (Wish(bytes_per_s=1e9), "--bandwidth belongs"),
    ],
)
def test_parts_that_do_not_go_together_are_refused(wish: Wish, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build_machine(wish)


def test_nothing_asked_means_this_machine() -> None:
    assert Wish().is_empty
    assert not Wish(ram_bytes=GIB).is_empty
