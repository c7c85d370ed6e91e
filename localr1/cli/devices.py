"""Owns `localr1 devices`: what this machine can compute on, what stays idle, and how to fix that.

The engine's child is asked, so that a broken llama-cpp-python is something to report rather than
to die of.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

from backends.machine import Machine
from backends.probe import Advice, Hardware, find_hardware, missing_support
from localr1.cli.options import with_output
from localr1.cli.output import Output
from localr1.errors import EngineStartError
from localr1.units import format_bytes
from localr1.worker.frames import EngineInfo
from localr1.worker.host import Engine
from localr1.worker.protocol import to_json


@click.command("devices")
@with_output
def command(output: Output) -> int:
    """What this machine can compute on, and what is missing."""
    hardware = find_hardware(Machine())
    try:
        info = _ask_engine()
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
        output.json(_document(info, hardware, advice), indent=2)
    else:
        for line in _lines(info, advice):
            output.data(line)
    return 0


def _ask_engine() -> EngineInfo:
    engine = Engine.start()
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
