"""From a model file to an opened model, over engines from a script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from backends.device import Device, DeviceKind
from backends.rpc import RpcServer
from localr1.errors import (
    DoesNotFitError,
    EngineDiedError,
    EngineError,
    EngineRefusedError,
)
from localr1.events import Notice, Progress
from localr1.launch import LoadingEngine
from localr1.model_options import ModelOptions
from localr1.plan.memory_plan import MemoryPlan
from tests.support.launches import CARD, CPU, OPTIONS, LoadableEngine, launch_of

_GIB = 1024**3
_SERVER = RpcServer("gpu-box", 50052)
_REMOTE = Device("RPC0", DeviceKind.RPC, _SERVER.endpoint, 8 * _GIB, 7 * _GIB)


def test_model_is_loaded_as_planned_and_measured_beside_it(r1_nano: Path) -> None:
    engine = LoadableEngine()
    _, run = launch_of(r1_nano, engine)

    events, opened = run()

    (parameters,) = engine.loaded
    assert (parameters.n_ctx, parameters.devices) == (512, ())
    assert all(isinstance(event, Progress) for event in events)
    assert len(events) < 60  # not one per tensor
    kv = {row["purpose"]: row for row in opened.load_event.measured["comparison"]}["kv"]
    assert kv["predicted_bytes"] == kv["measured_bytes"] == 1536 * 1024
    assert opened.load_event.plan["verdict"] == "fits"


@pytest.mark.parametrize(
    "failure",
    [
        EngineRefusedError("cudaMalloc failed: out of memory", is_device_failure=True),
        EngineDiedError("killed by SIGABRT"),
    ],
    ids=["out of memory", "crash"],
)
def test_card_that_fails_is_noticed_and_the_processor_takes_over(
    failure: EngineError, r1_nano: Path
) -> None:
    failing = LoadableEngine(devices=(CPU, CARD), failure=failure)
    second = LoadableEngine(devices=(CPU, CARD))
    _, run = launch_of(r1_nano, failing, second)

    events, opened = run()

    (notice,) = [event for event in events if isinstance(event, Notice)]
    assert notice.code == "cpu_fallback"
    assert failure.message in notice.message
    assert failing.loaded[0].devices == ("CUDA0",)
    assert second.loaded[0].devices == ()
    assert failing.is_closed
    assert opened.engine is second


@pytest.mark.parametrize(
    ("devices", "failure"),
    [
        pytest.param((CPU,), EngineDiedError("killed by SIGABRT"), id="no card to leave"),
        pytest.param((CPU, CARD), EngineRefusedError("bad magic"), id="not the card's fault"),
    ],
)
def test_other_failures_are_the_users_to_see(
    devices: tuple[Device, ...], failure: EngineError, r1_nano: Path
) -> None:
    engine = LoadableEngine(devices=devices, failure=failure)
    _, run = launch_of(r1_nano, engine)

    with pytest.raises(type(failure)):
        run()

    assert engine.is_closed


def test_servers_are_asked_for_their_devices_and_the_user_is_told(r1_nano: Path) -> None:
    engine = LoadableEngine(devices=(CPU, _REMOTE))
    asked: list[Sequence[RpcServer]] = []
    options = replace(OPTIONS, rpc_servers=(_SERVER,))
    launch, _ = launch_of(r1_nano, engine, options=options)

    def start_engine(servers: Sequence[RpcServer]) -> LoadingEngine:
        asked.append(servers)
        return engine

    events = list(replace(launch, start_engine=start_engine).open())

    assert asked == [(_SERVER,)]
    assert engine.loaded[0].devices == ("RPC0",)
    assert isinstance(events[0], Notice)
    assert events[0].code == "remote_devices"
    assert "gpu-box:50052" in events[0].message


def test_a_server_that_fails_is_not_made_up_for_by_the_processor(r1_nano: Path) -> None:
    failure = EngineDiedError("killed by SIGABRT")
    engine = LoadableEngine(devices=(CPU, _REMOTE), failure=failure)
    _, run = launch_of(r1_nano, engine, options=replace(OPTIONS, rpc_servers=(_SERVER,)))

    with pytest.raises(EngineDiedError):
        run()

    assert engine.is_closed


@pytest.mark.parametrize(
    ("observes_inputs", "n_outputs_max"),
    [pytest.param(False, 1, id="a reply"), pytest.param(True, 0, id="every token of a text")],
)
def test_room_is_kept_for_the_logits_that_are_read(
    r1_nano: Path, *, observes_inputs: bool, n_outputs_max: int
) -> None:
    engine = LoadableEngine()
    launch, _ = launch_of(r1_nano, engine)

    list(replace(launch, observes_inputs=observes_inputs).open())

    assert engine.loaded[0].n_outputs_max == n_outputs_max


_HUGE = replace(OPTIONS, n_ctx=2**31 - 512)


def test_the_engine_gets_the_split_of_the_plan(r1_nano: Path) -> None:
    small = Device("CUDA1", DeviceKind.CUDA, "another card", 8 * _GIB, 2 * _GIB)
    engine = LoadableEngine(devices=(CPU, small, CARD))
    _, run = launch_of(r1_nano, engine)

    _, opened = run()

    (parameters,) = engine.loaded
    planned = [device["layers"] for device in opened.load_event.plan["devices"]]
    assert parameters.devices == ("CUDA0", "CUDA1")
    assert parameters.tensor_split == tuple(last - first + 1 for first, last in planned)
    assert sum(parameters.tensor_split) == parameters.n_gpu_layers


def test_a_card_that_holds_no_layer_is_not_used(r1_nano: Path) -> None:
    full = replace(CARD, free_bytes=100 * 1024**2)
    engine = LoadableEngine(devices=(CPU, full))
    _, run = launch_of(r1_nano, engine)

    run()

    (parameters,) = engine.loaded
    assert (parameters.devices, parameters.n_gpu_layers) == ((), 0)


def test_what_does_not_fit_is_not_loaded(r1_nano: Path) -> None:
    engine = LoadableEngine()
    _, run = launch_of(r1_nano, engine, options=_HUGE)

    with pytest.raises(DoesNotFitError) as error:
        run()

    assert engine.loaded == []
    assert engine.is_closed
    assert "--load-anyway" in error.value.hint


def test_what_a_driver_refuses_is_said_though_there_is_room(r1_nano: Path) -> None:
    refusing = replace(CARD, kind=DeviceKind.VULKAN, max_alloc_bytes=2**16)
    engine = LoadableEngine(devices=(CPU, refusing))
    _, run = launch_of(r1_nano, engine, options=ModelOptions(n_gpu_layers=1))

    with pytest.raises(DoesNotFitError, match="in one piece, the driver of CUDA0 gives 0 MiB"):
        run()


def test_what_does_not_fit_is_loaded_anyway_if_the_user_says_so(r1_nano: Path) -> None:
    engine = LoadableEngine()
    _, run = launch_of(r1_nano, engine, options=replace(_HUGE, loads_anyway=True))

    run()

    assert engine.loaded[0].n_ctx > 2**30


def test_plan_is_handed_out_before_the_load(r1_nano: Path) -> None:
    engine = LoadableEngine()
    plans: list[tuple[MemoryPlan, int]] = []
    launch, _ = launch_of(r1_nano, engine)
    opening = replace(launch, on_plan=lambda plan: plans.append((plan, len(engine.loaded)))).open()

    next(opening)
    opening.close()

    ((plan, n_loads),) = plans
    assert (plan.n_ctx, n_loads) == (512, 0)
    assert engine.is_closed
