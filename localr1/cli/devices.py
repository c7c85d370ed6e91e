"""Owns `localr1 devices`: what this machine can compute on, what stays idle, and how to fix that.

The engine's child is asked, so that a broken llama-cpp-python is something to report rather than
to die of.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import click

from backends.container import cpu_quota
from backends.machine import Machine, usable_memory
from backends.probe import Advice, Hardware, find_hardware, missing_support
from backends.rpc import RpcServer, what_leaves
from localr1.cli.options import with_output
from localr1.cli.output import Output
from localr1.cli.rpc_option import require_allowed, rpc_option
from localr1.errors import EngineStartError
from localr1.hardware.apple import working_set_bytes
from localr1.hardware.profile import Profile
from localr1.units import format_bytes
from localr1.worker.frames import EngineInfo
from localr1.worker.host import Engine
from localr1.worker.protocol import to_json


@click.command("devices")
@click.option(
    "--profiles", "lists_profiles", is_flag=True, help="List what `plan --on` knows instead."
)
@rpc_option
@with_output
def command(output: Output, *, lists_profiles: bool, rpc_servers: tuple[RpcServer, ...]) -> int:
    """What this machine can compute on, and what is missing."""
    require_allowed(rpc_servers)
    if lists_profiles:
        return _list_profiles(output)
    machine = Machine()
    hardware = find_hardware(machine)
    try:
        info = _ask_engine(rpc_servers)
    except EngineStartError:
        if not output.as_json:
            for card in hardware:
                output.data(f"seen    {card.name} (for {card.kind})")
        raise
    advice = missing_support(
        hardware,
        info.devices,
        supports_gpu_offload=info.supports_gpu_offload,
        python=sys.executable,
    )
    if output.as_json:
        output.json({**_document(info, hardware, advice), "container": _limits(machine)}, indent=2)
    else:
        for line in (*_lines(info, advice), *_limit_lines(_limits(machine))):
            output.data(line)
        if rpc_servers:
            output.data(f"once a model is loaded, {what_leaves(rpc_servers)}")
    return 0


def _list_profiles(output: Output) -> int:
    from localr1.hardware.catalogue import profiles

    found = profiles().values()
    if output.as_json:
        output.json({"profiles": [_profile_document(profile) for profile in found]}, indent=2)
        return 0
    output.data(f"{'NAME':<22} {'MEMORY':>10} {'BANDWIDTH':>10}  DESCRIPTION")
    for profile in found:
        memory, bandwidth = format_bytes(profile.memory_bytes), f"{profile.bytes_per_s / 1e9:.0f}"
        output.data(f"{profile.name:<22} {memory:>10} {bandwidth:>5} GB/s  {profile.title}")
    return 0


def _profile_document(profile: Profile) -> dict[str, Any]:
    document = {**asdict(profile), "taken_bytes": list(profile.taken_bytes)}
    if profile.is_mac:
        document["gpu_limit_bytes"] = {
            "macos_before_26": working_set_bytes(profile.memory_bytes, macos=25),
            "macos_26": working_set_bytes(profile.memory_bytes, macos=26),
        }
    return document


def _ask_engine(rpc_servers: Sequence[RpcServer]) -> EngineInfo:
    engine = Engine.start(rpc_servers)
    try:
        return engine.info
    finally:
        engine.close()


def _document(
    info: EngineInfo, hardware: Sequence[Hardware], advice: Sequence[Advice]
) -> dict[str, Any]:
    return {
        "llama_cpp_python": info.llama_cpp_python,
        "supports_gpu_offload": info.supports_gpu_offload,
        "supports_rpc": info.supports_rpc,
        "devices": to_json(info.devices),
        "hardware": to_json(tuple(hardware)),
        "unused": to_json(tuple(advice)),
    }


def _limits(machine: Machine) -> dict[str, float | None]:
    """What a container allows; None where it sets no limit."""
    return {
        "memory_bytes": usable_memory(machine).container_bytes,
        "processors": cpu_quota(machine.read),
    }


def _limit_lines(limits: Mapping[str, float | None]) -> list[str]:
    n_bytes, processors = limits["memory_bytes"], limits["processors"]
    parts = [] if n_bytes is None else [f"{format_bytes(int(n_bytes))} of memory"]
    parts += [] if processors is None else [f"{processors:g} processors"]
    return [f"container limit: {' and '.join(parts)}"] if parts else []


def _lines(info: EngineInfo, advice: Sequence[Advice]) -> list[str]:
    rows = [("DEVICE", "KIND", "TOTAL", "FREE", "DESCRIPTION")]
    rows += [
        (
            device.name,
            device.kind.value,
            format_bytes(device.total_bytes),
            format_bytes(device.free_bytes),
            device.description + (" (memory shared with the CPU)" if device.is_unified else ""),
        )
        for device in info.devices
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]])
        for row in rows
    ]
    for item in advice:
        lines += ["", f"{item.hardware.name} is here but unused: {item.reason}"]
        lines += [f"  {item.command}"] if item.command else []
    gpu = "can use GPUs" if info.supports_gpu_offload else "was built for the CPU only"
    return [*lines, "", f"llama-cpp-python {info.llama_cpp_python} {gpu}"]
