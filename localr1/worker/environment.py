"""Owns what a child process inherits from the environment: a list of what is let through.

Native code in a child can be made to leak its environment, and API keys live there. Everything
not known to matter to Python, the dynamic loader or a compute driver stays behind.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

_NAMES = frozenset(
    {
        "DYLD_LIBRARY_PATH",
        "HOME",
        "LANG",
        "LD_LIBRARY_PATH",
        "LLAMA_CPP_LIB_PATH",
        "PATH",
        "PYTHONHOME",
        "PYTHONUTF8",
        "TMPDIR",
        "TZ",
        "XDG_CACHE_HOME",
    }
)
_PREFIXES = ("LC_", "CUDA_", "NVIDIA_", "HIP_", "ROCR_", "HSA_", "GGML_", "OMP_", "KMP_", "VK_")
_SECRETS = ("KEY", "TOKEN", "SECRET", "PASSWORD")


def child_environment(parent: Mapping[str, str], *, package_root: Path) -> dict[str, str]:
    """The environment of a child that must import the packages under `package_root`.

    An installed copy is found through `site`; a source checkout is named in PYTHONPATH, before
    whatever the parent had there.
    """
    passed = {name: value for name, value in parent.items() if _passes(name)}
    passed["GGML_NO_BACKTRACE"] = "1"  # each abort would run a debugger for seconds
    is_installed = package_root.name in {"site-packages", "dist-packages"}
    search = [] if is_installed else [str(package_root)]
    # absolute, because a child does not run in the parent's directory
    inherited = parent.get("PYTHONPATH", "").split(os.pathsep)
    search += [str(Path(entry).absolute()) for entry in inherited if entry]
    if search:
        passed["PYTHONPATH"] = os.pathsep.join(search)
    return passed


def _passes(name: str) -> bool:
    if name in _NAMES:
        return True
    return name.startswith(_PREFIXES) and not any(word in name for word in _SECRETS)
