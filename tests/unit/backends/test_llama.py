from __future__ import annotations

import ctypes
import re
import sys
from dataclasses import replace

import pytest

from backends import llama
from backends.cpu import cpu_parameters
from backends.device import DeviceKind
from backends.dispatch import choose_devices, engine_parameters
from backends.errors import DeviceNotFoundError, LlamaMissingError, LlamaRefusedError
from backends.llama import Llama
from backends.machine import HostFacts
from backends.parameters import EngineParameters, LoadRequest
from localr1.worker.interrupt import Interrupt
from tests.support.fake_c import CPU_BUFFER_TYPE, FakeC, FakeEntry

_GIB = 1024**3
_CPU = FakeEntry("CPU", "CPU", 0, 64 * _GIB, 64 * _GIB)
_CUDA0 = FakeEntry("CUDA0", "CUDA", 1, 24 * _GIB, 23 * _GIB, "NVIDIA GeForce RTX 4090")
_CUDA1 = FakeEntry("CUDA1", "CUDA", 1, 12 * _GIB, 11 * _GIB)
_METAL = FakeEntry("MTL0", "MTL", 1, 48 * _GIB, 40 * _GIB, "Apple M2 Ultra")
_BLAS = FakeEntry("BLAS", "BLAS", 3, 0, 0)
_REQUEST = LoadRequest(model_path="/m.gguf", n_ctx=4096, n_layer=28)
_HOST = HostFacts(n_cores=4)


def _parameters() -> EngineParameters:
    return cpu_parameters(_REQUEST, _HOST)


def test_cuda_machine_is_described() -> None:
    devices = Llama(FakeC([_CUDA0, _CUDA1, _CPU]), "0").devices()

    assert [device.name for device in devices] == ["CUDA0", "CUDA1", "CPU"]
    assert devices[0].kind is DeviceKind.CUDA
    assert devices[0].description == "NVIDIA GeForce RTX 4090"
    assert (devices[0].total_bytes, devices[0].free_bytes) == (24 * _GIB, 23 * _GIB)
    assert not devices[0].is_unified


def test_device_says_what_its_driver_grants_at_once() -> None:
    limited = replace(_METAL, max_size=12 * _GIB)

    metal, cpu = Llama(FakeC([limited, _CPU]), "0").devices()

    assert (metal.buffer_bytes, metal.max_alloc_bytes) == (12 * _GIB, 12 * _GIB)
    assert (cpu.buffer_bytes, cpu.max_alloc_bytes) == (None, None)


def test_metal_machine_shares_its_memory() -> None:
    metal, _ = Llama(FakeC([_METAL, _CPU]), "0").devices()

    assert metal.kind is DeviceKind.METAL
    assert metal.is_unified


def test_integrated_gpu_shares_its_memory() -> None:
    entry = FakeEntry("Vulkan0", "Vulkan", 2, 8 * _GIB, 8 * _GIB)

    (device,) = Llama(FakeC([entry]), "0").devices()

    assert device.kind is DeviceKind.VULKAN
    assert device.is_unified


def test_helpers_of_the_processor_are_no_devices() -> None:
    devices = Llama(FakeC([_BLAS, _CPU]), "0").devices()

    assert [device.name for device in devices] == ["CPU"]


def test_unknown_backend_is_other() -> None:
    (device,) = Llama(FakeC([replace(_CUDA0, registry="Quantum")]), "0").devices()

    assert device.kind is DeviceKind.OTHER


def test_chosen_cards_reach_the_loader_in_order() -> None:
    c = FakeC([_CUDA0, _CUDA1, _CPU])
    native = Llama(c, "0")
    chosen = choose_devices(native.devices(), "cuda")

    with pytest.raises(LlamaRefusedError):
        native.load(engine_parameters(_REQUEST, chosen, _HOST), lambda _: True, Interrupt())

    assert c.loaded_with.handles == [1, 2]
    assert c.loaded_with.n_gpu_layers == 29
    assert c.loaded_with.split_mode == 1
    assert c.loaded_with.goes_on is True


def test_the_planned_split_and_experts_reach_the_loader() -> None:
    c = FakeC([_CUDA0, _CUDA1, _CPU])
    native = Llama(c, "0")
    request = replace(_REQUEST, n_gpu_layers=20, layers_per_device=(15, 5), n_host_experts=2)

    with pytest.raises(LlamaRefusedError):
        native.load(
            engine_parameters(request, choose_devices(native.devices()), _HOST),
            lambda _: True,
            Interrupt(),
        )

    assert list(c.loaded_with.tensor_split)[:3] == [15, 5, 0]
    (first, host), (second, _) = c.overrides
    assert host == CPU_BUFFER_TYPE
    assert re.search(first, b"blk.0.ffn_gate_exps.weight")
    assert not re.search(first, b"blk.10.ffn_gate_exps.weight")
    assert not re.search(second, b"blk.1.ffn_gate_shexp.weight")


def test_no_override_is_made_where_none_is_wanted() -> None:
    c = FakeC([_CUDA0, _CPU])

    with pytest.raises(LlamaRefusedError):
        Llama(c, "0").load(_parameters(), lambda _: False, Interrupt())

    assert c.overrides == []


def test_processor_load_keeps_llama_cpp_off_every_card() -> None:
    c = FakeC([_CUDA0, _CPU])

    with pytest.raises(LlamaRefusedError, match="load the model"):
        Llama(c, "0").load(_parameters(), lambda _: False, Interrupt())

    assert c.loaded_with.handles == []
    assert c.loaded_with.path == b"/m.gguf"
    assert c.loaded_with.goes_on is False


def test_device_that_left_is_a_typed_error() -> None:
    parameters = replace(_parameters(), devices=("CUDA3",))

    with pytest.raises(DeviceNotFoundError, match="CUDA3"):
        Llama(FakeC([_CPU]), "0").load(parameters, lambda _: True, Interrupt())


def test_model_is_freed_when_there_is_no_context() -> None:
    c = FakeC([_CPU], gives_model=True)

    with pytest.raises(LlamaRefusedError, match="context"):
        Llama(c, "0").load(_parameters(), lambda _: True, Interrupt())

    assert c.n_freed == 1


def test_context_gets_every_parameter() -> None:
    c = FakeC([_CPU], gives_model=True)
    parameters = replace(
        _parameters(), type_k="q8_0", type_v="q4_0", flash_attn="on", n_outputs_max=1
    )

    with pytest.raises(LlamaRefusedError):
        Llama(c, "0").load(parameters, lambda _: True, Interrupt())

    wanted = c.context_with
    assert (wanted.type_k, wanted.type_v, wanted.flash_attn_type) == (8, 2, 1)
    assert (wanted.n_ctx, wanted.n_batch, wanted.n_ubatch) == (4096, 2048, 512)
    assert wanted.n_outputs_max == 1
    assert (wanted.n_threads, wanted.n_threads_batch) == (4, 4)


def test_abort_callback_reads_the_flag() -> None:
    c = FakeC([_CPU], gives_model=True)
    interrupt = Interrupt()
    with pytest.raises(LlamaRefusedError):
        Llama(c, "0").load(_parameters(), lambda _: True, interrupt)
    asked = c.context_with.abort_callback
    data = ctypes.c_void_p(c.context_with.abort_callback_data)
    interrupt.begin(1)

    before = asked(data)
    interrupt.cancel(1)

    assert (before, asked(data)) == (False, True)


def test_log_lines_with_broken_characters_arrive() -> None:
    lines: list[str] = []

    Llama(FakeC([_CPU]), "0").on_log(lines.append)

    assert lines == ["a line \ufffd\n"]


def test_missing_package_is_a_typed_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llama_cpp", None)

    with pytest.raises(LlamaMissingError) as caught:
        llama.bind()

    assert "pip install" in caught.value.hint


def test_devices_of_a_server_join_the_registry() -> None:
    remote = FakeEntry("RPC0", "RPC", 1, 24 * _GIB, 23 * _GIB, "gpu-box:50052")
    native = Llama(FakeC([_CPU], servers={b"gpu-box:50052": [remote]}), "0")

    native.add_rpc_server("gpu-box:50052")

    assert native.supports_rpc
    assert [device.name for device in native.devices()] == ["CPU", "RPC0"]
    assert native.devices()[1].kind is DeviceKind.RPC


@pytest.mark.parametrize("servers", [{}, {b"another:1": []}], ids=["built without", "no devices"])
def test_server_without_devices_is_refused(servers: dict[bytes, list[FakeEntry]]) -> None:
    native = Llama(FakeC([_CPU], servers=servers), "0")

    with pytest.raises(LlamaRefusedError):
        native.add_rpc_server("gpu-box:50052")
