"""Trees of control groups as containers, services and plain machines have them."""

from __future__ import annotations

import pytest

from backends.container import cpu_quota
from backends.machine import Memory, usable_memory
from tests.support.fake_machine import FakeMachine

_GIB = 1024**3
_NO_LIMIT = "9223372036854771712\n"  # version 1 rounds the largest number to pages
_V2 = {"/proc/self/cgroup": "0::/app/work\n"}
_V1 = {"/proc/self/cgroup": "9:name=systemd:/\n4:memory:/docker/c0ffee\n1:cpu,cpuacct:/docker\n"}
_NAMESPACE = {"/proc/self/cgroup": "0::/\n"}


def _v2(
    folder: str, *, most: str = "max", high: str = "max", used: int, files: int = 0
) -> dict[str, str]:
    return {
        f"{folder}/memory.max": f"{most}\n",
        f"{folder}/memory.high": f"{high}\n",
        f"{folder}/memory.current": f"{used}\n",
        f"{folder}/memory.stat": f"anon 5\nactive_file {files}\ninactive_file {files}\nfile 77\n",
    }


def _v1(folder: str, *, most: str, used: int, files: int = 0) -> dict[str, str]:
    return {
        f"{folder}/memory.limit_in_bytes": most,
        f"{folder}/memory.usage_in_bytes": f"{used}\n",
        f"{folder}/memory.stat": (
            f"active_file 0\ninactive_file 0\ntotal_active_file {files}\ntotal_inactive_file 0\n"
        ),
    }


_TOP, _APP, _WORK = "/sys/fs/cgroup", "/sys/fs/cgroup/app", "/sys/fs/cgroup/app/work"
_TREES = {
    "no groups": ({}, Memory(16 * _GIB, 12 * _GIB)),
    "no limit": (_V2 | _v2(_WORK, used=_GIB), Memory(16 * _GIB, 12 * _GIB)),
    "own group": (
        _V2 | _v2(_WORK, most=str(4 * _GIB), used=_GIB),
        Memory(4 * _GIB, 3 * _GIB, 4 * _GIB),
    ),
    "cached files can be had": (
        _V2 | _v2(_WORK, most=str(4 * _GIB), used=3 * _GIB, files=_GIB),
        Memory(4 * _GIB, 3 * _GIB, 4 * _GIB),
    ),
    "throttled from a lower mark": (
        _V2 | _v2(_WORK, most=str(4 * _GIB), high=str(2 * _GIB), used=_GIB),
        Memory(2 * _GIB, _GIB, 2 * _GIB),
    ),
    "parent that others fill": (
        _V2
        | _v2(_WORK, most=str(4 * _GIB), used=_GIB)
        | _v2(_APP, most=str(8 * _GIB), used=7 * _GIB),
        Memory(4 * _GIB, _GIB, 4 * _GIB),
    ),
    "more used than allowed": (
        _V2 | _v2(_WORK, most=str(_GIB), used=2 * _GIB),
        Memory(_GIB, 0, _GIB),
    ),
    "machine that others fill": (
        _V2 | _v2(_WORK, most=str(15 * _GIB), used=_GIB),
        Memory(15 * _GIB, 12 * _GIB, 15 * _GIB),
    ),
    "limit above the machine": (
        _V2 | _v2(_WORK, most=str(64 * _GIB), used=_GIB),
        Memory(16 * _GIB, 12 * _GIB),
    ),
    "namespace": (
        _NAMESPACE | _v2(_TOP, most=str(2 * _GIB), used=0),
        Memory(2 * _GIB, 2 * _GIB, 2 * _GIB),
    ),
    "both versions": (
        {"/proc/self/cgroup": "4:memory:/\n0::/app\n"}
        | _v2("/sys/fs/cgroup/unified/app", most=str(2 * _GIB), used=0),
        Memory(2 * _GIB, 2 * _GIB, 2 * _GIB),
    ),
    "version 1": (
        _V1
        | _v1(
            "/sys/fs/cgroup/memory/docker/c0ffee", most=f"{4 * _GIB}\n", used=3 * _GIB, files=_GIB
        )
        | _v1("/sys/fs/cgroup/memory", most=_NO_LIMIT, used=9 * _GIB),
        Memory(4 * _GIB, 2 * _GIB, 4 * _GIB),
    ),
    "version 1, seen from inside": (
        _V1 | _v1("/sys/fs/cgroup/memory", most=f"{4 * _GIB}\n", used=_GIB),
        Memory(4 * _GIB, 3 * _GIB, 4 * _GIB),
    ),
    "damaged": (
        _V2 | _v2(_WORK, most="-7", used=0) | {f"{_APP}/memory.max": "", "/sys/fs/cgroup/x": "?"},
        Memory(16 * _GIB, 12 * _GIB),
    ),
}


@pytest.mark.parametrize(("files", "memory"), _TREES.values(), ids=_TREES)
def test_memory_is_the_less_of_machine_and_container(files: dict[str, str], memory: Memory) -> None:
    assert usable_memory(FakeMachine(files=files)) == memory


_QUOTAS: dict[str, tuple[dict[str, str], float | None]] = {
    "no groups": ({}, None),
    "no limit": (_V2 | {f"{_WORK}/cpu.max": "max 100000\n"}, None),
    "own group": (_V2 | {f"{_WORK}/cpu.max": "350000 100000\n"}, 3.5),
    "parent is tighter": (
        _V2 | {f"{_WORK}/cpu.max": "350000 100000\n", f"{_APP}/cpu.max": "50000 100000\n"},
        0.5,
    ),
    "version 1": (
        _V1
        | {
            "/sys/fs/cgroup/cpu/docker/cpu.cfs_quota_us": "200000\n",
            "/sys/fs/cgroup/cpu/docker/cpu.cfs_period_us": "100000\n",
            "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
            "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        },
        2,
    ),
    "damaged": (_V2 | {f"{_WORK}/cpu.max": "50000", f"{_APP}/cpu.max": "50000 0\n"}, None),
}


@pytest.mark.parametrize(("files", "quota"), _QUOTAS.values(), ids=_QUOTAS)
def test_processors_are_those_of_the_tightest_group(
    files: dict[str, str], quota: float | None
) -> None:
    assert cpu_quota(FakeMachine(files=files).read) == quota
