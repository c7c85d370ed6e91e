from __future__ import annotations

import signal

import pytest

from localr1.worker.death import explain_death, is_device_failure, telling_line

_CUDA_MEMORY = """\
ggml_backend_cuda_buffer_type_alloc_buffer: allocating 4096.00 MiB on device 0: \
cudaMalloc failed: out of memory
alloc_tensor_range: failed to allocate CUDA0 buffer of size 4294967296
"""
_CUDA_FAULT = """\
CUDA error: an illegal memory access was encountered
  current device: 0, in function ggml_backend_cuda_synchronize
"""
_VULKAN_LOST = """\
terminate called after throwing an instance of 'vk::DeviceLostError'
  what():  vk::Device::waitForFences: ErrorDeviceLost
"""
_METAL_MEMORY = """\
ggml_metal_synchronize: error: command buffer 0 failed with status 5
error: Insufficient Memory (00000008:kIOGPUCommandBufferCallbackErrorOutOfMemory)
"""
_WRONG_MAGIC = """\
gguf_init_from_reader: invalid magic characters: 'NOPE', expected 'GGUF'
llama_model_load: error loading model: llama_model_loader: failed to load model from x
llama_model_load_from_file_impl: failed to load model
"""
_CUT_SHORT = """\
llama_model_load: error loading model: tensor 'x' data is not within the file bounds
llama_model_load_from_file_impl: failed to load model
"""
_ASSERTION = "llama_model_load: x\n/src/ggml.c:3758: GGML_ASSERT(a->ne[0] == b->ne[0]) failed\n"
_OTHER_VERSION = """\
RPC server version mismatch: 6.1.0
/src/ggml-rpc.cpp:550: RPC handshake failed for gpu-box:50052
"""
_SERVER_LEFT = "/src/ggml-rpc.cpp:566: Remote RPC server crashed or returned malformed response\n"
_TAILS = {
    "assertion": (_ASSERTION, "ggml.c:3758: GGML_ASSERT(a->ne[0] == b->ne[0]) failed", False),
    "cuda out of memory": (_CUDA_MEMORY, "failed to allocate CUDA0 buffer", True),
    "cuda fault": (_CUDA_FAULT, "CUDA error: an illegal memory access", True),
    "vulkan device lost": (_VULKAN_LOST, "vk::Device::waitForFences: ErrorDeviceLost", True),
    "metal out of memory": (_METAL_MEMORY, "error: command buffer 0 failed with status 5", True),
    "wrong magic": (_WRONG_MAGIC, "invalid magic characters: 'NOPE'", False),
    "cut short": (_CUT_SHORT, "tensor 'x' data is not within the file bounds", False),
    "host memory": ("alloc_buffer: failed to allocate CPU buffer of size 9\n", "CPU buffer", False),
    "exception": ("terminate called\n  what():  std::bad_alloc\n", "what(): std::bad_alloc", False),
    "server of another version": (_OTHER_VERSION, "RPC server version mismatch: 6.1.0", False),
    "server that left": (_SERVER_LEFT, "ggml-rpc.cpp:566: Remote RPC server crashed", False),
    "silence": ("llama_context: n_ctx = 512\n", "", False),
}


@pytest.mark.parametrize(("log", "line", "blames_device"), _TAILS.values(), ids=_TAILS)
def test_log_tail_is_told_in_one_line(log: str, line: str, blames_device: bool) -> None:
    told = telling_line(log)

    assert line in told
    assert bool(line) == bool(told)
    assert "\n" not in told
    assert is_device_failure(log) == blames_device


@pytest.mark.parametrize("number", [signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS])
def test_signal_is_named(number: signal.Signals) -> None:
    assert (
        explain_death("the engine", -number, "").message == f"the engine was ended by {number.name}"
    )


def test_exit_code_is_named() -> None:
    assert explain_death("the engine", 3, "").message == "the engine exited with code 3"


def test_silence_is_named() -> None:
    assert explain_death("the engine", None, "").message == "the engine stopped answering"


def test_unknown_signal_keeps_its_number() -> None:
    assert "signal 77" in explain_death("the engine", -77, "").message


def test_kill_suggests_that_memory_ran_out() -> None:
    assert "memory" in explain_death("the engine", -signal.SIGKILL, "").hint


def test_escape_sequences_in_the_log_are_made_visible() -> None:
    message = explain_death("the engine", -6, "GGML_ASSERT(\x1b]52;c;x\x07)\n").message

    assert "\x1b" not in message
    assert "\x07" not in message


@pytest.mark.parametrize(
    ("log", "hint"),
    [(_OTHER_VERSION, "the same version of llama.cpp"), (_SERVER_LEFT, "run out of memory")],
    ids=["another version", "gone"],
)
def test_death_by_a_server_says_what_to_do(log: str, hint: str) -> None:
    death = explain_death("the engine", -signal.SIGABRT, log)

    assert hint in death.hint
