"""Owns how a load request becomes llama.cpp's parameters on the processor."""

from __future__ import annotations

from backends.cache_types import cache_type
from backends.errors import UnsupportedParametersError
from backends.machine import HostFacts
from backends.parameters import EngineParameters, FlashAttention, LoadRequest

# decoding reads memory: more threads than memory channels can feed only wait for each other
_MAX_DECODE_THREADS = 16
_MAX_BATCH_THREADS = 64


def cpu_parameters(request: LoadRequest, host: HostFacts) -> EngineParameters:
    """The request without any GPU.

    Raises: UnsupportedParametersError for cache types llama.cpp cannot combine.
    """
    return EngineParameters(
        model_path=request.model_path,
        devices=(),
        n_gpu_layers=0,
        split_mode="none",
        tensor_split=(),
        use_mmap=request.use_mmap,
        n_ctx=request.n_ctx,
        n_batch=request.n_batch,
        n_ubatch=min(request.n_ubatch, request.n_batch),
        n_seq_max=1,
        n_outputs_max=request.n_outputs or 0,
        n_threads=request.n_threads or min(host.n_cores, _MAX_DECODE_THREADS),
        n_threads_batch=request.n_threads or min(host.n_cores, _MAX_BATCH_THREADS),
        flash_attn=_flash_attention(request),
        type_k=cache_type(request.type_k).name,
        type_v=cache_type(request.type_v).name,
        swa_full=request.swa_full,
    )


def _flash_attention(request: LoadRequest) -> FlashAttention:
    """Flash attention as asked for, or on where a quantised V cache needs it."""
    if not cache_type(request.type_v).is_quantised:
        return request.flash_attn
    if request.flash_attn == "off":
        raise UnsupportedParametersError(
            f"a {request.type_v} V cache needs flash attention, which is switched off",
            hint="leave flash attention on, or use f16 for V",
        )
    return "on"
