from __future__ import annotations

import json
from dataclasses import replace

import pytest

from backends.device import Device, DeviceKind
from backends.errors import DeviceNotFoundError, UnsupportedParametersError
from localr1.errors import UsageError
from localr1.hardware.machine import Wish, build_machine
from localr1.model_facts.card import Unplanned
from localr1.plan.device_plan import Stage
from localr1.plan.memory_plan import MemoryPlan, Verdict
from localr1.plan.planner import make_plan
from localr1.plan.request import HostMemory, PlanRequest
from localr1.units import GIB, MIB
from tests.support.plan_cards import qwen_7b

_CARD = qwen_7b()


def _host(available_bytes: int) -> HostMemory:
    return HostMemory(total_bytes=64 * GIB, available_bytes=available_bytes)


def _gpu(free_bytes: int, name: str = "CUDA0") -> Device:
    return Device(name, DeviceKind.CUDA, "a card", 24 * GIB, free_bytes)


def _on_host(available_gib: float, request: PlanRequest | None = None) -> MemoryPlan:
    return make_plan(_CARD, request or PlanRequest(), (), _host(int(available_gib * GIB)))


def test_a_model_that_fits_gets_room_to_think() -> None:
    plan = _on_host(32)

    assert plan.verdict is Verdict.FITS
    assert plan.n_ctx == 16_384
    assert plan.max_ctx == 131_072
    assert plan.fixes == ()
    assert plan.failing_stage is None


def test_the_default_context_shrinks_to_what_fits() -> None:
    plan = _on_host(8.5)

    assert plan.verdict is Verdict.FITS
    assert 512 <= plan.n_ctx < 16_384


def test_the_longest_context_fits_and_the_next_step_does_not() -> None:
    plan = _on_host(12, PlanRequest(n_ctx="max"))

    longer = _on_host(12, PlanRequest(n_ctx=plan.n_ctx + 256))
    assert plan.n_ctx == plan.max_ctx
    assert plan.verdict is Verdict.FITS
    assert longer.verdict is Verdict.DOES_NOT_FIT


def test_the_context_is_rounded_as_llama_cpp_rounds_it() -> None:
    assert _on_host(32, PlanRequest(n_ctx=1000)).n_ctx == 1024


@pytest.mark.parametrize(
    ("available_gib", "stage"),
    [(4, Stage.WEIGHTS), (8, Stage.KV), (14.6, Stage.COMPUTE), (14.9, Stage.FIRST_RUN)],
)
def test_the_verdict_names_the_first_thing_that_fails(available_gib: float, stage: Stage) -> None:
    plan = _on_host(available_gib, PlanRequest(n_ctx=131_072))

    assert plan.verdict is Verdict.DOES_NOT_FIT
    assert plan.failing_stage is stage
    assert plan.margin_bytes < 0


def test_fixes_do_what_they_say() -> None:
    short = 12 * GIB
    plan = make_plan(_CARD, PlanRequest(n_ctx=131_072), (), _host(short))

    enough = {fix.change: fix for fix in plan.fixes if fix.is_enough}
    with_q8 = make_plan(
        _CARD, PlanRequest(n_ctx=131_072, type_k="q8_0", type_v="q8_0"), (), _host(short)
    )
    assert with_q8.verdict is Verdict.FITS
    assert enough["--kv q8_0"].saves_bytes == plan.need_bytes - with_q8.need_bytes
    assert f"--ctx {plan.max_ctx}" in enough
    assert [fix.is_enough for fix in plan.fixes] == sorted(
        (fix.is_enough for fix in plan.fixes), reverse=True
    )


def test_switching_flash_attention_on_is_offered_where_it_is_off() -> None:
    plan = _on_host(12, PlanRequest(n_ctx=65_536, flash_attn="off"))

    assert "--flash-attn on" in {fix.change for fix in plan.fixes}


def test_all_layers_go_to_a_card_that_holds_them() -> None:
    plan = make_plan(_CARD, PlanRequest(), (_gpu(22 * GIB),), _host(32 * GIB))

    (card,) = plan.devices
    assert plan.verdict is Verdict.FITS
    assert plan.n_gpu_layers == 29
    assert card.layers == (0, 28)
    assert plan.host.layers is None
    assert plan.host.kv_bytes == 0
    assert card.kv_bytes == 896 * MIB


def test_a_small_card_holds_as_many_layers_as_fit() -> None:
    card = _gpu(4 * GIB)

    plan = make_plan(_CARD, PlanRequest(n_ctx=4096), (card,), _host(32 * GIB))

    one_more = PlanRequest(n_ctx=4096, n_gpu_layers=plan.n_gpu_layers + 1)
    assert plan.verdict is Verdict.FITS_WITH_OFFLOAD
    assert 0 < plan.n_gpu_layers < 29
    assert plan.devices[0].margin_bytes >= 0
    assert make_plan(_CARD, one_more, (card,), _host(32 * GIB)).verdict is Verdict.DOES_NOT_FIT


def test_nothing_is_lost_between_host_and_card() -> None:
    alone = make_plan(_CARD, PlanRequest(n_ctx=4096), (), _host(32 * GIB))
    plan = make_plan(_CARD, PlanRequest(n_ctx=4096), (_gpu(4 * GIB),), _host(32 * GIB))

    assert sum(place.kv_bytes for place in plan.places) == alone.host.kv_bytes
    # the mapped span reaches over the output layer, which the card holds
    needed = [place.weights_bytes - place.unused_bytes for place in plan.places]
    assert sum(needed) == alone.host.weights_bytes


def test_two_cards_share_the_layers_by_free_memory() -> None:
    cards = (_gpu(12 * GIB), _gpu(6 * GIB, "CUDA1"))

    plan = make_plan(_CARD, PlanRequest(n_ctx=4096), cards, _host(32 * GIB))

    assert plan.verdict is Verdict.FITS
    assert [device.layers for device in plan.devices] == [(0, 19), (20, 28)]


def test_of_unequal_cards_the_faster_one_takes_what_it_can() -> None:
    machine = build_machine(Wish(names=("rtx-3060", "rtx-4090")))

    plan = make_plan(_CARD, PlanRequest(), machine.devices, machine.host, machine.known)

    assert [device.name for device in plan.devices] == ["rtx-4090"]
    assert [device.name for device in plan.idle] == ["rtx-3060"]
    assert [d["layers"] for d in plan.to_json()["devices"]] == [[0, 28], None]


def test_a_card_without_a_layer_needs_nothing() -> None:
    plan = make_plan(_CARD, PlanRequest(n_gpu_layers=0), (_gpu(22 * GIB),), _host(32 * GIB))

    (idle,) = plan.idle
    assert plan.devices == ()
    assert idle.need_bytes == 0
    assert idle.limit_bytes == 22 * GIB


def test_shared_memory_is_counted_once() -> None:
    shared = Device("Metal", DeviceKind.METAL, "M2", 16 * GIB, 11 * GIB, is_unified=True)

    plan = make_plan(_CARD, PlanRequest(n_ctx=4096), (shared,), _host(12 * GIB))

    assert plan.host.limit_bytes == 12 * GIB - plan.devices[0].need_bytes


def test_a_device_can_be_ruled_out() -> None:
    devices = (_gpu(22 * GIB), Device("CPU", DeviceKind.CPU, "", 64 * GIB, 32 * GIB))

    plan = make_plan(_CARD, PlanRequest(device="cpu"), devices, _host(32 * GIB))

    assert plan.devices == ()
    with pytest.raises(DeviceNotFoundError):
        make_plan(_CARD, PlanRequest(device="metal"), devices, _host(32 * GIB))


def test_the_engine_is_asked_for_what_was_planned() -> None:
    plan = _on_host(32, PlanRequest(n_ctx=5000, type_k="q8_0", n_ubatch=256, flash_attn="on"))

    request = plan.load_request("m.gguf")

    assert (request.model_path, request.n_ctx, request.n_layer) == ("m.gguf", 5120, 28)
    assert (request.type_k, request.type_v, request.flash_attn) == ("q8_0", "f16", "on")
    assert (request.n_ubatch, request.n_gpu_layers) == (256, None)


def test_json_has_the_agreed_shape() -> None:
    plan = make_plan(_CARD, PlanRequest(), (_gpu(4 * GIB),), _host(32 * GIB))

    document = json.loads(json.dumps(plan.to_json()))

    assert set(document) >= {
        "model",
        "request",
        "devices",
        "host",
        "kv_bytes_per_token",
        "verdict",
        "failing_stage",
        "margin_bytes",
        "fixes",
        "max_ctx",
        "speed",
    }
    assert document["kv_bytes_per_token"] == 28 * 2 * 512 * 2
    assert document["request"]["n_ctx"] == plan.n_ctx
    assert document["speed"] is None
    assert set(document["devices"][0]) == set(document["host"])


def test_what_is_not_sized_is_said() -> None:
    card = replace(_CARD, unplanned=(Unplanned.INDEXER,), arch="new")

    plan = make_plan(card, PlanRequest(n_ctx=200_000), (), _host(32 * GIB))

    assert any("sparse-attention index" in notice for notice in plan.notices)
    assert any("compute buffer of new" in notice for notice in plan.notices)
    assert any("trained on 131072" in notice for notice in plan.notices)


@pytest.mark.parametrize("n_ctx", [0, -5, 2**31])
def test_a_context_that_makes_no_sense_is_refused(n_ctx: int) -> None:
    with pytest.raises(UsageError):
        PlanRequest(n_ctx=n_ctx)


def test_every_sequence_needs_a_part_of_the_context() -> None:
    with pytest.raises(UnsupportedParametersError, match="512 sequences"):
        _on_host(32, PlanRequest(n_ctx=256, n_seq_max=512))


def test_a_quantised_v_cache_needs_flash_attention() -> None:
    with pytest.raises(UnsupportedParametersError, match="flash attention"):
        PlanRequest(type_v="q4_0", flash_attn="off")


def test_a_cache_type_must_fill_its_blocks_with_every_head() -> None:
    # 4 heads of 80 make whole blocks of 32, one head does not, and llama.cpp refuses
    card = replace(_CARD, head_dim_k=(80,) * 28, head_dim_v=(80,) * 28)

    with pytest.raises(UnsupportedParametersError, match="heads of 80"):
        make_plan(card, PlanRequest(type_k="q8_0"), (), _host(32 * GIB))


def test_no_fix_is_offered_that_llama_cpp_refuses() -> None:
    card = replace(_CARD, head_dim_k=(80,) * 28, head_dim_v=(80,) * 28)

    plan = make_plan(card, PlanRequest(n_ctx=131_072), (), _host(9 * GIB))

    assert plan.verdict is Verdict.DOES_NOT_FIT
    assert not [fix for fix in plan.fixes if fix.change.startswith("--kv")]


@pytest.mark.parametrize(("n_ctx", "is_told"), [(100, True), (256, False), (None, False)])
def test_a_context_that_llama_cpp_rounds_up_is_told(n_ctx: int | None, *, is_told: bool) -> None:
    plan = make_plan(_CARD, PlanRequest(n_ctx=n_ctx), (), _host(32 * GIB))

    told = [notice for notice in plan.notices if "rounds" in notice]
    assert told == (["llama.cpp rounds a context of 100 tokens up to 256"] if is_told else [])
