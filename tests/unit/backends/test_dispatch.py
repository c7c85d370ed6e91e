from __future__ import annotations

import dataclasses

import pytest

from backends.device import Device, DeviceKind
from backends.dispatch import choose_devices, cpu_fallback, engine_parameters
from backends.errors import DeviceNotFoundError, UnsupportedParametersError
from backends.machine import HostFacts
from backends.parameters import LoadRequest
from tests.support.fake_llama import CPU, CUDA0, CUDA1, GIB, METAL, RPC0, RPC1

_HOST = HostFacts(n_cores=8)
_VULKAN = Device("Vulkan0", DeviceKind.VULKAN, "the big card again", 24 * GIB, 23 * GIB)
_INTEGRATED = Device("CUDA2", DeviceKind.CUDA, "on the board", 32 * GIB, 30 * GIB, is_unified=True)


def _request(**changes: object) -> LoadRequest:
    base = LoadRequest(model_path="/m.gguf", n_ctx=4096, n_layer=28)
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type] # names are checked there


@pytest.mark.parametrize(
    ("devices", "chosen"),
    [
        ((CPU,), ()),
        ((CPU, CUDA0), (CUDA0,)),
        ((CUDA0, CUDA1, CPU), (CUDA1, CUDA0)),
        ((_VULKAN, CUDA1, CPU), (CUDA1,)),
        ((_VULKAN, CPU), (_VULKAN,)),
        ((METAL, CPU), (METAL,)),
        ((_INTEGRATED, CUDA0, CPU), (CUDA0,)),
        ((_INTEGRATED, CPU), (_INTEGRATED,)),
        ((CPU, RPC0, RPC1), (RPC1, RPC0)),
        ((CUDA1, CPU, RPC0), (RPC0, CUDA1)),
    ],
    ids=[
        "cpu",
        "one",
        "two",
        "two kinds",
        "vulkan",
        "metal",
        "discrete first",
        "integrated",
        "remote",
        "remote before local",
    ],
)
def test_best_devices_are_chosen(devices: tuple[Device, ...], chosen: tuple[Device, ...]) -> None:
    assert choose_devices(devices) == chosen


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        ("cpu", ()),
        ("CPU", ()),
        ("cuda", (CUDA1, CUDA0)),
        ("CUDA0", (CUDA0,)),
        ("cuda0, cuda1", (CUDA1, CUDA0)),
        ("vulkan", (_VULKAN,)),
    ],
)
def test_override_names_devices_or_a_kind(wanted: str, chosen: tuple[Device, ...]) -> None:
    assert choose_devices((CUDA0, CUDA1, _VULKAN, CPU), wanted) == chosen


@pytest.mark.parametrize("wanted", ["cuda7", "metal", "", "cuda0,nope"])
def test_unknown_device_lists_what_there_is(wanted: str) -> None:
    with pytest.raises(DeviceNotFoundError) as caught:
        choose_devices((CUDA0, CPU), wanted)

    assert "CUDA0 (cuda), CPU (cpu)" in caught.value.hint


def test_every_layer_goes_to_the_card() -> None:
    parameters = engine_parameters(_request(), (CUDA1,), _HOST)

    assert parameters.devices == ("CUDA1",)
    assert parameters.n_gpu_layers == 29
    assert parameters.split_mode == "none"


def test_several_cards_share_layers() -> None:
    parameters = engine_parameters(_request(), (CUDA1, CUDA0), _HOST)

    assert parameters.devices == ("CUDA1", "CUDA0")
    assert parameters.split_mode == "layer"


def test_layers_asked_for_are_kept_within_the_model() -> None:
    assert engine_parameters(_request(n_gpu_layers=10), (METAL,), _HOST).n_gpu_layers == 10
    assert engine_parameters(_request(n_gpu_layers=999), (METAL,), _HOST).n_gpu_layers == 29


def test_metal_takes_its_one_device() -> None:
    parameters = engine_parameters(_request(), (METAL,), _HOST)

    assert parameters.devices == ("MTL0",)
    assert parameters.n_gpu_layers == 29


def test_processor_offloads_nothing() -> None:
    parameters = engine_parameters(_request(n_gpu_layers=10), (), _HOST)

    assert parameters.devices == ()
    assert parameters.n_gpu_layers == 0
    assert parameters.n_threads == 8


def test_fallback_differs_from_the_gpu_load_only_in_where() -> None:
    gpu = engine_parameters(_request(type_v="q8_0"), (CUDA1, CUDA0), _HOST)

    assert cpu_fallback(gpu) == engine_parameters(_request(type_v="q8_0"), (), _HOST)


def test_threads_asked_for_are_taken() -> None:
    parameters = engine_parameters(_request(n_threads=3), (), _HOST)

    assert (parameters.n_threads, parameters.n_threads_batch) == (3, 3)


def test_decode_threads_are_capped_below_batch_threads() -> None:
    parameters = engine_parameters(_request(), (), HostFacts(n_cores=96))

    assert (parameters.n_threads, parameters.n_threads_batch) == (16, 64)


def test_quantised_v_cache_switches_flash_attention_on() -> None:
    assert engine_parameters(_request(type_v="q8_0"), (), _HOST).flash_attn == "on"
    assert engine_parameters(_request(type_k="q8_0"), (), _HOST).flash_attn == "auto"


def test_quantised_v_cache_without_flash_attention_is_refused() -> None:
    with pytest.raises(UnsupportedParametersError, match="flash attention"):
        engine_parameters(_request(type_v="q4_0", flash_attn="off"), (CUDA0,), _HOST)


def test_cache_type_nobody_knows_is_refused() -> None:
    with pytest.raises(UnsupportedParametersError, match="q3_k"):
        engine_parameters(_request(type_k="q3_k"), (), _HOST)


@pytest.mark.parametrize(
    ("chosen", "split_mode"),
    [
        ((RPC0,), "none"),
        ((RPC1, RPC0), "layer"),
        ((RPC0, CUDA1), "layer"),
        ((RPC0, METAL), "layer"),
    ],
    ids=["one", "two", "with a card", "with a Mac"],
)
def test_remote_devices_get_their_layers(chosen: tuple[Device, ...], split_mode: str) -> None:
    parameters = engine_parameters(_request(layers_per_device=(20, 9)), chosen, _HOST)

    assert parameters.devices == tuple(device.name for device in chosen)
    assert parameters.n_gpu_layers == 29
    assert parameters.split_mode == split_mode
    assert parameters.tensor_split == ((20, 9) if len(chosen) > 1 else ())
