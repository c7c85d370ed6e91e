from __future__ import annotations

from localr1.units import MIB
from localr1.worker.frames import MeasuredBuffer
from localr1.worker.load_log import measured_buffers

# lines as llama.cpp printed them for Gemma 3 270M on a CPU, and the CUDA form of the same
_LOG = """\
load: token to piece cache size = 1.9446 MB
load_tensors:   CPU_Mapped model buffer size =   235.16 MiB
load_tensors:        CUDA0 model buffer size =   102.50 MiB
llama_context:        CPU  output buffer size =     1.00 MiB
llama_kv_cache:        CPU KV buffer size =    12.00 MiB
llama_kv_cache: size =   12.00 MiB (  4096 cells,   3 layers,  1/1 seqs), K (f16):    6.00 MiB
llama_kv_cache:        CPU KV buffer size =    60.00 MiB
llama_memory_recurrent:      CUDA0 RS buffer size =     2.25 MiB
sched_reserve:        CPU compute buffer size =   600.00 MiB
sched_reserve:        CPU compute buffer size =   514.50 MiB
"""


def test_every_buffer_is_read_with_its_purpose() -> None:
    assert measured_buffers(_LOG, {}) == (
        MeasuredBuffer(device="CPU_Mapped", purpose="weights", n_bytes=round(235.16 * MIB)),
        MeasuredBuffer(device="CUDA0", purpose="weights", n_bytes=round(102.5 * MIB)),
        MeasuredBuffer(device="CPU", purpose="output", n_bytes=MIB),
        MeasuredBuffer(device="CPU", purpose="kv", n_bytes=12 * MIB),
        MeasuredBuffer(device="CPU", purpose="kv", n_bytes=60 * MIB),
        MeasuredBuffer(device="CUDA0", purpose="recurrent", n_bytes=round(2.25 * MIB)),
        MeasuredBuffer(device="CPU", purpose="compute", n_bytes=round(514.5 * MIB)),
    )


def test_log_without_buffers_gives_none() -> None:
    assert measured_buffers("print_info: n_ctx_train = 8192\n", {}) == ()


def test_remote_buffers_are_called_like_their_devices() -> None:
    log = "load_tensors: RPC0[gpu-box:50052] model buffer size =    92.10 MiB\n"

    (buffer,) = measured_buffers(log, {"RPC0[gpu-box:50052]": "RPC1"})

    assert buffer.device == "RPC1"
