"""One pass against two: our conversion to Q4_K_M, and a BF16 GGUF that llama.cpp then quantises.

The checkpoint has the shapes and the tokenizer of R1-Distill-Qwen-1.5B and random weights (3.55 GB;
`--small`: 2 layers). Both sides use every core this process may use, and follow each other in one
run. The BF16 GGUF of the other side is made by us as well: the bytes are those of llama.cpp's own
script, which takes longer, so the comparison leans to the other side; so it does because we wait
until the file is on the disk and `llama_model_quantize` does not. Ours is run without compiled
kernels on the disk (cold) and, when all are there, again (warm); the result is not verified.

Prints times of the clock and of all cores, bytes written, the peak of anonymous memory of each side
with its children, and how many tensors are identical; last, one line of JSON. Takes 12 GB of disk
and some minutes. Beside a busy neighbour only the time of the cores means something.

    python benchmarks/convert.py [--small] [--rounds N] [--directory DIR]
"""

from __future__ import annotations

import argparse
import ctypes
import json
import mmap
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks._qwen2_checkpoint import write_checkpoint
from quant.gguf.header import GgufHeader, read_header
from quant.gguf.types import FileType

_N_LAYER = 28
_N_LAYER_SMALL = 2
_MAX_ANONYMOUS_BYTES = 1 << 30
_MIN_RATIO = 5.0
_SAMPLE_S = 0.1


@dataclass(frozen=True, slots=True)
class _Run:
    """What a command cost."""

    seconds: float
    cpu_seconds: float
    """Of all cores and children; what a busy neighbour changes little."""
    anonymous_bytes: int
    """The most that it and its children held at a time."""


def main() -> int:
    """Exit status: 1 if a tensor differs or, at full size, if memory or speed miss their mark."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="localr1-bench-", dir=options.directory) as directory:
        folder = Path(directory)
        n_layer = _N_LAYER_SMALL if options.small else _N_LAYER
        started_s = time.perf_counter()
        write_checkpoint(folder / "checkpoint", n_layer)
        n_bytes = (folder / "checkpoint" / "model.safetensors").stat().st_size
        print(f"checkpoint: {n_bytes / 1e9:.2f} GB in {time.perf_counter() - started_s:.0f} s")
        cold = _convert(folder, "Q4_K_M")
        print(f"ours, cold: {cold.seconds:.1f} s")
        _compile_kernels(folder)
        ours, theirs = [], []
        for _ in range(options.rounds):
            ours.append(_convert(folder, "Q4_K_M"))
            print(f"ours, warm: {ours[-1].seconds:.1f} s")
            theirs.append((_convert(folder, "BF16"), _quantise(folder)))
            print("theirs: {:.1f} s + {:.1f} s".format(*(step.seconds for step in theirs[-1])))
        report = _report(folder, cold, ours, theirs)
    return _judge(report, is_small=options.small)


def _convert(folder: Path, file_type: str) -> _Run:
    target = folder / f"{file_type}.gguf"
    command = [sys.executable, "-m", "localr1", "convert", str(folder / "checkpoint")]
    options = ["-q", file_type, "-o", str(target), "--force", "--fresh", "--no-verify"]
    return _run([*command, *options], folder)


def _compile_kernels(folder: Path) -> None:
    """The rest of what Q4_K_M needs: a small model is done before it is all compiled."""
    cache = folder / "home" / "cache"
    _run([sys.executable, "-m", "quant.blocks.compile", str(cache), "k_quants", "q6_k"], folder)


def _quantise(folder: Path) -> _Run:
    command = [sys.executable, __file__, "--quantise"]
    return _run([*command, str(folder / "BF16.gguf"), str(folder / "theirs.gguf")], folder)


def _quantise_here(source: str, target: str) -> int:
    """The child: llama.cpp's quantiser with all cores."""
    import llama_cpp

    quiet = llama_cpp.llama_log_callback(lambda _level, _text, _data: None)
    llama_cpp.llama_log_set(quiet, None)
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = int(FileType.Q4_K_M)
    params.nthread = _n_cores()
    return int(
        llama_cpp.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(params))
    )


def _run(command: list[str], home: Path) -> _Run:
    os.sync()  # what the command before left to write is not this one's
    started_s, started_cpu_s = time.perf_counter(), _cpu_seconds()
    child = psutil.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=os.environ | {"LOCALR1_HOME": str(home / "home"), "GGML_NO_BACKTRACE": "1"},
    )
    peak = 0
    while child.poll() is None:
        peak = max(peak, _anonymous_bytes(child))
        time.sleep(_SAMPLE_S)
    seconds = time.perf_counter() - started_s
    errors = child.communicate()[1].decode(errors="replace")
    if child.returncode != 0:
        sys.exit(f"{' '.join(command)}\nended with {child.returncode}\n{errors[-2000:]}")
    return _Run(seconds, _cpu_seconds() - started_cpu_s, peak)


def _cpu_seconds() -> float:
    """Of all children that have ended."""
    times = os.times()
    return times.children_user + times.children_system


def _anonymous_bytes(process: psutil.Process) -> int:
    """Memory that no file stands behind, of a process and its children; Linux only, else 0."""
    total = 0
    try:
        for member in (process, *process.children(recursive=True)):
            for line in Path(f"/proc/{member.pid}/status").read_text(encoding="ascii").splitlines():
                if line.startswith("RssAnon:"):
                    total += int(line.split()[1]) * 1024
    except (OSError, psutil.NoSuchProcess):  # it ended meanwhile
        return total
    return total


def _report(
    folder: Path, cold: _Run, ours: list[_Run], theirs: list[tuple[_Run, _Run]]
) -> dict[str, object]:
    ours_s = statistics.median(run.seconds for run in ours)
    ours_cpu_s = statistics.median(run.cpu_seconds for run in ours)
    theirs_s = statistics.median(sum(step.seconds for step in steps) for steps in theirs)
    theirs_cpu_s = statistics.median(sum(step.cpu_seconds for step in steps) for steps in theirs)
    n_identical, n_tensors = _compare(folder / "Q4_K_M.gguf", folder / "theirs.gguf")
    our_bytes, bf16_bytes, their_bytes = (
        (folder / name).stat().st_size for name in ("Q4_K_M.gguf", "BF16.gguf", "theirs.gguf")
    )
    our_peak = max(run.anonymous_bytes for run in ours)
    their_peak = max(step.anonymous_bytes for steps in theirs for step in steps)
    print(f"{_n_cores()} cores         ours, warm  ours, cold      theirs")
    print(f"wall time       {ours_s:8.1f} s  {cold.seconds:8.1f} s  {theirs_s:8.1f} s")
    print(f"theirs/ours     {theirs_s / ours_s:8.2f}    {theirs_s / cold.seconds:8.2f}")
    print(f"processor time  {ours_cpu_s:8.1f} s  {cold.cpu_seconds:8.1f} s  {theirs_cpu_s:8.1f} s")
    print(f"theirs/ours     {theirs_cpu_s / ours_cpu_s:8.2f}  ", end="")
    print(f"  {theirs_cpu_s / cold.cpu_seconds:8.2f}")
    print(f"written         {our_bytes / 1e9:8.2f} GB {our_bytes / 1e9:8.2f} GB ", end="")
    print(f"{(bf16_bytes + their_bytes) / 1e9:8.2f} GB")
    print(f"anonymous memory {our_peak >> 20:6} MiB {cold.anonymous_bytes >> 20:8} MiB", end="")
    print(f"{their_peak >> 20:9} MiB")
    print(f"tensors identical: {n_identical} of {n_tensors}")
    return {
        "benchmark": "convert",
        "n_cores": _n_cores(),
        "ours_warm_s": round(ours_s, 2),
        "ours_cold_s": round(cold.seconds, 2),
        "theirs_s": round(theirs_s, 2),
        "ours_warm_cpu_s": round(ours_cpu_s, 2),
        "ours_cold_cpu_s": round(cold.cpu_seconds, 2),
        "theirs_cpu_s": round(theirs_cpu_s, 2),
        "ratio": round(theirs_s / ours_s, 2),
        "ratio_cold": round(theirs_s / cold.seconds, 2),
        "bytes_written": our_bytes,
        "bytes_written_theirs": bf16_bytes + their_bytes,
        "anonymous_bytes": max(our_peak, cold.anonymous_bytes),
        "anonymous_bytes_theirs": their_peak,
        "n_identical": n_identical,
        "n_tensors": n_tensors,
    }


def _judge(report: dict[str, object], *, is_small: bool) -> int:
    print(json.dumps(report))
    is_right = report["n_identical"] == report["n_tensors"]
    is_good = (
        float(str(report["ratio"])) >= _MIN_RATIO
        and int(str(report["anonymous_bytes"])) <= _MAX_ANONYMOUS_BYTES
    )
    return 0 if is_right and (is_good or is_small) else 1


def _compare(ours: Path, theirs: Path) -> tuple[int, int]:
    """How many tensors have the same name, type, shape and bytes, and how many there are."""
    first, second = read_header(ours), read_header(theirs)
    others = {tensor.name: tensor for tensor in second.tensors}
    n_identical = 0
    with _mapped(first) as our_data, _mapped(second) as their_data:
        for tensor in first.tensors:
            other = others.get(tensor.name)
            if other is None or (other.type_name, other.dims) != (tensor.type_name, tensor.dims):
                continue
            start, their_start = (
                first.data_offset + tensor.offset,
                second.data_offset + other.offset,
            )
            n_identical += (
                our_data[start : start + tensor.n_bytes]
                == their_data[their_start : their_start + other.n_bytes]
            )
    return n_identical, max(len(first.tensors), len(second.tensors))


def _mapped(header: GgufHeader) -> mmap.mmap:
    with header.path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _n_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--small", action="store_true", help="2 layers: does it work at all?")
    parser.add_argument("--rounds", type=int, default=1, help="pairs of ours, warm, and theirs")
    parser.add_argument("--directory", type=Path, help="where to work (default: temporary)")
    return parser.parse_args()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--quantise"]:
        sys.exit(_quantise_here(*sys.argv[2:4]))
    sys.exit(main())
