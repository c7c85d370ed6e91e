"""Owns what llama.cpp's load log says about memory: text in, measured buffers out.

The log is the only public source of sizes per buffer: llama.cpp's own breakdown is a C++ map with
no C function. It prints MiB with two decimals, so each size is exact to 5 KiB.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from localr1.units import MIB
from localr1.worker.frames import BufferPurpose, MeasuredBuffer

_LINE = re.compile(
    r"^\w+: +(\S+) +(model|KV|RS|DSV4 \S+ state|compute|output) buffer size = +(\S+)"
)
_PURPOSES: dict[str, BufferPurpose] = {
    "model": "weights",
    "KV": "kv",
    "RS": "recurrent",
    "compute": "compute",
    "output": "output",
}


def measured_buffers(log: str, names: Mapping[str, str]) -> tuple[MeasuredBuffer, ...]:
    """Every buffer the log names, in order; a compute buffer counts as last measured.

    `names` has better ones for buffers that llama.cpp does not call like their devices.
    """
    buffers: list[MeasuredBuffer] = []
    for line in log.splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        device, word, mib = match.groups()
        device = names.get(device, device)
        purpose = _PURPOSES.get(word, "recurrent")
        if purpose == "compute":
            # planned again when flash attention turns out to be impossible
            buffers = [b for b in buffers if (b.device, b.purpose) != (device, "compute")]
        n_bytes = round(float(mib) * MIB)
        buffers.append(MeasuredBuffer(device=device, purpose=purpose, n_bytes=n_bytes))
    return tuple(buffers)
