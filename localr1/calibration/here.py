"""Owns what is known of the devices of this machine: measured, or by their data sheet."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from backends.device import Device, DeviceKind
from localr1.calibration.measure import last_measured, measure_roughly
from localr1.hardware.apple import macos_of, working_set_bytes
from localr1.hardware.catalogue import profiles
from localr1.hardware.efficiency import sheet_rate
from localr1.hardware.profile import Profile
from localr1.ledger import read_ledger
from localr1.plan.hardware import HOST, Known
from localr1.plan.ledger import factors_at, places


def known_here(
    devices: Collection[Device], llama_cpp_python: str, *, measures: bool = False
) -> dict[str, Known]:
    """Rates of the devices that could be told, and what earlier loads teach; by their names.

    With `measures` the processor is measured roughly, if nobody measured it before.
    """
    known = {}
    measured = last_measured(llama_cpp_python)
    if measured is None and measures:
        measured = measure_roughly(llama_cpp_python)
    if measured is not None:
        known[HOST] = Known(rate=measured.rate())
    for device in devices:
        profile = profile_of(device)
        if profile is not None:
            known[device.name] = Known(rate=sheet_rate(profile))
    entries = read_ledger()
    for name, where in places(devices, llama_cpp_python).items():
        if factors := factors_at(where, entries):
            known[name] = replace(known.get(name, Known()), factors=factors)
    return known


def profile_of(device: Device) -> Profile | None:
    """The data sheet of a GPU by what its driver calls it, and by its memory."""
    if device.kind is DeviceKind.CPU:
        return None
    words = device.description.lower().replace("laptop gpu", "laptop").split()
    fitting = [
        profile
        for profile in profiles().values()
        if profile.kind is device.kind and _is_named(profile, words)
    ]
    return max(
        fitting,
        key=lambda profile: (
            len(_name_words(profile)),
            -abs(_shown_bytes(profile) - device.total_bytes),
        ),
        default=None,
    )


def _is_named(profile: Profile, words: list[str]) -> bool:
    """`m1-max-64gb` is named by "Apple M1 Max", `rtx-4070-ti` by "NVIDIA GeForce RTX 4070 Ti"."""
    name = _name_words(profile)
    return all(word in words for word in name) and ("laptop" in words) == ("laptop" in name)


def _shown_bytes(profile: Profile) -> int:
    """What ggml calls a device's memory: on a Mac, what the GPU may use of it."""
    if profile.gpu_share is not None:
        return int(profile.gpu_share * profile.memory_bytes)
    if profile.is_mac:
        return working_set_bytes(profile.memory_bytes, macos=macos_of(profile))
    return profile.memory_bytes


def _name_words(profile: Profile) -> list[str]:
    return [word for word in profile.name.split("-") if not word.endswith("gb")]
