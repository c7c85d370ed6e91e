"""Owns load logs that other people published, read without trust in them.

One JSON object per line: key-values of the model, what was asked, and what llama.cpp printed, in
MiB by device. Whatever is missing or odd counts as not printed; a line that is no record is left
out, and said so.
"""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localr1.units import GIB, MIB

_FORK = re.compile(r"fork|ik_llama\.cpp")
_ON_HOST = re.compile(r"CPU|Host|AMX|REPACK|AARCH64|BLAS")
_SECOND_COPY = re.compile(r"AMX|AARCH64|REPACK")
_BUILD = re.compile(r"b?(\d{1,6})\b")
_FILE_SIZE = re.compile(r"([\d.]+) ([GM])iB")
_PARAMETERS = re.compile(r"([\d.]+) ([BM])")
_DATE = re.compile(r"(\d{4})-(\d{2})(?:-(\d{2}))?")
_REPEATED = re.compile(r"(\[.*\]) ?x ?(\d{1,3})")
_FLASH_BY_DEFAULT = 6325  # pull request 15434, end of August 2025
_UNITS = {"G": GIB, "M": MIB}
_POWERS = {"B": 1e9, "M": 1e6}


@dataclass(frozen=True)
class Load:
    """One record; every property is what it says, or nothing."""

    record: Mapping[str, Any]
    assumed_build: int | None = None
    """That of the load nearest in time, where the log does not name one."""

    @property
    def id(self) -> str:
        """What reports call it."""
        return str(self.record.get("id", "?"))

    @property
    def page(self) -> str:
        """Where it was published: all loads of a page share one vote."""
        return str(self.record.get("source_url") or self.id)

    @property
    def kind(self) -> str:
        """`load`, or what else the record is about: `device_limit`, `fit_projection` ..."""
        return self.text("record_type") or "load"

    @property
    def is_mainline(self) -> bool:
        """Whether llama.cpp itself or a program around it was run, and no fork."""
        return not _FORK.search(self.text("runtime"))

    @property
    def ran_out(self) -> bool:
        """Whether memory ran out."""
        return self.record.get("oom") is True

    def text(self, name: str) -> str:
        """A text; empty if it was not printed."""
        value = self.record.get(name)
        return value if isinstance(value, str) else ""

    def count(self, name: str) -> int | None:
        """A positive whole number, also where a log ran on behind it."""
        value = self.record.get(name)
        if isinstance(value, str) and (match := re.match(r"\d{1,9}", value)):
            value = int(match[0])
        number = _positive(value)
        return int(number) if number and number.is_integer() else None

    def number(self, name: str) -> float | None:
        """A positive number."""
        return _positive(self.record.get(name))

    def table(self, name: str) -> Mapping[str, Any]:
        """An object; empty if it was not printed."""
        value = self.record.get(name)
        return value if isinstance(value, dict) else {}

    def per_layer(self, name: str) -> list[int] | int | None:
        """A count, or one for each layer: `[8,8,2] x5` is a pattern five times over."""
        value = self.record.get(name)
        if isinstance(value, str) and (match := _REPEATED.fullmatch(value)):
            try:
                return [int(item) for item in json.loads(match[1])] * int(match[2])
            except (TypeError, ValueError):
                return None
        return value if isinstance(value, list) else self.count(name)

    def on_devices(self, name: str) -> dict[str, float]:
        """MiB by device, of buffers that are not the host's."""
        return {device: mib for device, mib in self._mib(name).items() if not _is_host(device)}

    def on_host(self, name: str) -> float:
        """MiB in the machine's own memory."""
        return sum(mib for device, mib in self._mib(name).items() if _is_host(device))

    def free_mib(self, device: str) -> float | None:
        """What was free of a device at the start, else what it has."""
        for name in ("free_mib_at_start", "total_mib"):
            if mib := self._mib(name).get(device):
                return mib
        return None

    @property
    def has_second_copy(self) -> bool:
        """Whether the processor keeps weights in a layout of its own, by rules not known here."""
        return any(_SECOND_COPY.search(name) for name in self.table("model_buffers_mib"))

    @property
    def device_names(self) -> tuple[str, ...]:
        """Devices that held or computed something, or that the log lists."""
        held = ("model_buffers_mib", "kv_buffers_mib", "rs_buffers_mib", "compute_buffers_mib")
        names = {name: None for key in held for name in self.on_devices(key)}
        listed = {**self._mib("free_mib_at_start"), **self.table("device_names")}
        found = names or {name: None for name in listed if not _is_host(name)}
        return tuple(sorted(found, key=_by_number))

    @property
    def build(self) -> int | None:
        """llama.cpp's build number."""
        match = _BUILD.match(self.text("build"))
        return int(match[1]) if match else self.assumed_build

    @property
    def flash_attn(self) -> str | bool:
        """As printed; nothing printed means what was usual then."""
        value = self.record.get("flash_attn")
        if isinstance(value, str | bool) and str(value) in {"0", "1", "on", "off", "enabled"}:
            return value
        return "auto" if self.build and self.build >= _FLASH_BY_DEFAULT else "off"

    @property
    def offloaded(self) -> tuple[int, int] | None:
        """Layers on GPUs, and all; the output layer counts as one."""
        match = re.fullmatch(r"(\d{1,4})/(\d{1,4})", self.text("offloaded"))
        return (int(match[1]), int(match[2])) if match else None

    @property
    def is_whole(self) -> bool:
        """Whether every layer was said to be on GPUs."""
        return self.offloaded is not None and self.offloaded[0] >= self.offloaded[1]

    @property
    def file_bytes(self) -> int | None:
        """As printed, to two decimals."""
        match = _FILE_SIZE.match(self.text("file_size_printed"))
        return int(float(match[1]) * _UNITS[match[2]]) if match else None

    @property
    def n_params(self) -> float | None:
        """As printed, to two decimals."""
        match = _PARAMETERS.match(self.text("n_params"))
        return float(match[1]) * _POWERS[match[2]] if match else None

    @property
    def day(self) -> int | None:
        """A number for the day it was published; of a month its first."""
        match = _DATE.match(self.text("date"))
        return (int(match[1]) * 12 + int(match[2])) * 31 + int(match[3] or 1) if match else None

    def _mib(self, name: str) -> dict[str, float]:
        """By device; `CUDA0#2` is a second buffer of CUDA0, `Metal_Mapped` one of Metal."""
        found: defaultdict[str, float] = defaultdict(float)
        for device, mib in self.table(name).items():
            if isinstance(mib, int | float) and math.isfinite(mib) and mib >= 0:
                found[device.partition("#")[0].removesuffix("_Mapped")] += mib
        return dict(found)


def read_loads(path: Path) -> tuple[list[Load], list[str]]:
    """Every record of a file, and the lines that are none."""
    records, odd = [], []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        if isinstance(record, dict):
            records.append(record)
        elif line.strip():
            odd.append(f"line {number}")
    loads = [Load(record) for record in records]
    known = [(load.day, load.build) for load in loads if load.day and load.build]
    return [_dated(load, known) for load in loads], odd


def _dated(load: Load, known: list[tuple[int, int]]) -> Load:
    day = load.day
    if load.build or not day or not known:
        return load
    return Load(load.record, min(known, key=lambda other: abs(other[0] - day))[1])


def _positive(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 < value < math.inf else None


def _is_host(device: str) -> bool:
    return _ON_HOST.search(device) is not None


def _by_number(device: str) -> tuple[str, int]:
    """`CUDA10` after `CUDA9`."""
    name = device.rstrip("0123456789")
    return name, int(device[len(name) :] or 0)
