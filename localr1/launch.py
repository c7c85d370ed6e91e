"""Owns the way from a model's name to a conversation: file, plan, engine, load, fallback.

This is where the parts meet. The plan is made for the devices that the engine's own process found;
`backends.dispatch` turns it into llama.cpp's parameters; a GPU that fails falls back to the CPU
with a notice. What llama.cpp then allocated is put beside what the plan said.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from backends.dispatch import cpu_fallback, engine_parameters
from backends.machine import Machine, host_facts
from backends.parameters import EngineParameters
from backends.rpc import RpcServer, what_leaves
from localr1.attach import Attachment, DocumentWish, attach, plan_conversation, require_room
from localr1.calibration.here import known_here
from localr1.chat.engine import EngineLike
from localr1.chat.session import ChatSession, OpenedModel, SessionOptions
from localr1.errors import DoesNotFitError, EngineDiedError, EngineError
from localr1.events import Event, Load, Notice, Progress
from localr1.hardware.machine import PlannedMachine
from localr1.load_check import LoadCheck
from localr1.memory_watch import MemoryWatch, claim_of
from localr1.model_facts.card import ModelCard
from localr1.model_options import ModelOptions
from localr1.models import resolve
from localr1.plan.compare import compare
from localr1.plan.document_cost import DocumentCost
from localr1.plan.explain import refusal
from localr1.plan.host_memory import read_host_memory
from localr1.plan.memory_plan import MemoryPlan, Verdict
from localr1.units import format_bytes
from localr1.worker.frames import EngineInfo, LoadReport
from localr1.worker.host import Engine
from localr1.worker.vitals import memory_now
from quant.gguf.parts import read_model_header

_PROGRESS_STEP = 0.02  # llama.cpp reports every tensor; nobody needs more than fifty steps


def conversation_with(
    name: str,
    options: ModelOptions,
    *,
    on_progress: Callable[[float, float], None] | None = None,
    on_plan: Callable[[MemoryPlan], None] | None = None,
    documents: DocumentWish | None = None,
    question: str = "",
) -> ChatSession:
    """A conversation with a model by its name on the command line; nothing is loaded yet.

    `on_plan` gets the memory plan of each load, before it begins. `documents` go before the first
    question, which is `question` where that is known.
    Raises: ModelNotFoundError, ModelFileError, UsageError: what is wrong with the file is said
    before a screen is drawn.
    """
    path = resolve(name, on_progress=on_progress)
    card = ModelCard.from_header(read_model_header(path))
    attachment = None
    if documents is not None:
        asked = f"{options.system or ''}\n{question}".strip()
        attachment = attach(documents, card, path, question=asked)
    launch = Launch(path, card, options, on_plan, attachment=attachment)
    session_options = SessionOptions(
        documents=attachment.text if attachment else "",
        system=options.system or "",
        thinks=options.thinks,
        max_tokens=options.max_tokens,
        stop=options.stop,
        sampling=options.sampling,
    )
    return ChatSession(launch.open, session_options, title=launch.card.name)


class LoadingEngine(EngineLike, Protocol):
    """What a launch needs of an engine; `localr1.worker.host.Engine` is the real one."""

    @property
    def info(self) -> EngineInfo:
        """What the engine's process found when it came up."""
        ...

    def load(self, parameters: EngineParameters, /) -> Generator[float, None, LoadReport]:
        """Load a model; yields progress from 0 to 1."""
        ...


@dataclass(frozen=True, slots=True)
class Launch:
    """One model and how it shall be loaded; may be opened again after the engine died."""

    path: Path
    card: ModelCard
    options: ModelOptions
    on_plan: Callable[[MemoryPlan], None] | None = None
    start_engine: Callable[[Sequence[RpcServer]], LoadingEngine] = Engine.start
    observes_inputs: bool = False
    """Whether the engine shall be able to measure importance."""
    attachment: Attachment | None = None
    """What the conversation begins with, and needs room for."""

    def open(self) -> Generator[Event, None, OpenedModel]:
        """Start an engine and load the model into it; on the CPU where a GPU failed.

        Raises: DoesNotFitError, EngineError, BackendError.
        """
        servers = self.options.rpc_servers
        engine = self.start_engine(servers)
        try:
            if servers:
                yield Notice(code="remote_devices", message=what_leaves(servers))
            plan, cost = self._plan(engine.info)
            if self.on_plan is not None:
                self.on_plan(plan)
            if not self.options.loads_anyway:
                self._require_room(plan, cost)
            if self.attachment is not None and cost is not None:
                yield from _told(self.attachment, plan, cost)
            parameters = self._parameters(plan, engine.info)
            try:
                report = yield from _loaded(engine, parameters)
                check = LoadCheck(plan=plan, info=engine.info, buffers=report.buffers)
            except EngineError as exc:
                # what needs a second machine would bring this one to its knees
                if not parameters.devices or servers or not _is_worth_a_second_try(exc):
                    raise
                engine.close()
                yield _fell_back(parameters, exc)
                engine = self.start_engine(())
                report = yield from _loaded(engine, cpu_fallback(parameters))
                check = None  # it was planned otherwise
            if check is not None:
                yield from check.after_load()
        except BaseException:
            engine.close()
            raise
        return OpenedModel(
            engine=engine,
            report=report,
            chat_template=self.card.chat_template,
            sampling_defaults=self.card.sampling,
            load_event=_load_event(plan, report, engine.info),
            title=self.card.name,
            watch=_watch(plan, report, engine.info, check).see,
        )

    def _plan(self, info: EngineInfo) -> tuple[MemoryPlan, DocumentCost | None]:
        request = self.options.plan_request()
        if self.observes_inputs:
            request = replace(request, n_outputs=None)
        known = known_here(info.devices, info.llama_cpp_python)
        here = PlannedMachine(devices=info.devices, host=read_host_memory(), known=known)
        if self.attachment is None:
            return here.plan(self.card, request), None
        return plan_conversation(self.attachment, self.card, request, here.plan)

    def _require_room(self, plan: MemoryPlan, cost: DocumentCost | None) -> None:
        if self.attachment is not None and cost is not None:
            require_room(self.attachment, plan, cost)
        _require_fit(plan)

    def _parameters(self, plan: MemoryPlan, info: EngineInfo) -> EngineParameters:
        request = replace(plan.load_request(str(self.path)), n_threads=self.options.n_threads)
        by_name = {device.name: device for device in info.devices}
        chosen = [by_name[device.name] for device in plan.devices]
        parameters = engine_parameters(request, chosen, host_facts(Machine()))
        return replace(parameters, observes_inputs=self.observes_inputs)


def _loaded(
    engine: LoadingEngine, parameters: EngineParameters
) -> Generator[Event, None, LoadReport]:
    loading = engine.load(parameters)
    shown = -1.0
    try:
        while True:
            done = next(loading)
            if done - shown >= _PROGRESS_STEP or done >= 1:
                shown = done
                yield Progress(stage="load", done=done, total=1.0)
    except StopIteration as finished:
        report: LoadReport = finished.value
        return report
    finally:
        loading.close()


def _require_fit(plan: MemoryPlan) -> None:
    if plan.verdict is not Verdict.DOES_NOT_FIT:
        return
    fixes = [fix.change for fix in plan.fixes if fix.is_enough] or ["a smaller model"]
    raise DoesNotFitError(
        f"{plan.card.name} with a context of {plan.n_ctx} needs {format_bytes(plan.need_bytes)}: "
        + (refusal(plan) or f"{format_bytes(-plan.margin_bytes)} too much"),
        hint=f"try {' or '.join(fixes[:2])}; --load-anyway loads it all the same",
    )


def _told(attachment: Attachment, plan: MemoryPlan, cost: DocumentCost) -> Iterator[Event]:
    yield Notice(code="document_cost", message=attachment.headline(plan, cost))
    for notice in attachment.notices:
        yield Notice(code="document", message=notice)


def _is_worth_a_second_try(exc: EngineError) -> bool:
    # a driver may take the process with it; a file that llama.cpp refuses is refused everywhere
    return exc.is_device_failure or isinstance(exc, EngineDiedError)


def _fell_back(parameters: EngineParameters, exc: EngineError) -> Notice:
    devices = ", ".join(parameters.devices)
    return Notice(
        code="cpu_fallback",
        message=f"loading on {devices} failed ({exc.message}); running on the CPU, slower",
    )


def _watch(
    plan: MemoryPlan, report: LoadReport, info: EngineInfo, check: LoadCheck | None
) -> MemoryWatch:
    claim = claim_of(
        report.buffers,
        unused_bytes=0 if check is None else plan.host.unused_bytes,
        process_bytes=plan.host.overhead_bytes[1],
        unified={device.name for device in info.devices if device.is_unified},
    )
    look = partial(memory_now, info.pid)
    return MemoryWatch(claim, look) if check is None else MemoryWatch(claim, look, check)


def _load_event(plan: MemoryPlan, report: LoadReport, info: EngineInfo) -> Load:
    return Load(
        model=plan.card.name,
        n_ctx=report.n_ctx,
        devices=tuple(asdict(device) for device in info.devices),
        plan=plan.to_json(),
        measured={
            "buffers": [asdict(buffer) for buffer in report.buffers],
            "resident_bytes": report.resident_bytes,
            "comparison": [row.to_json() for row in compare(plan, report.buffers)],
        },
        seconds=report.seconds,
    )
