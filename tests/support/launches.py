"""A launch in the test's own process: engines that load, or fail to, by script."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from pathlib import Path

from backends.device import Device, DeviceKind
from backends.parameters import EngineParameters
from localr1.chat.session import OpenedModel
from localr1.errors import EngineError
from localr1.events import Event
from localr1.launch import Launch
from localr1.model_facts.card import ModelCard
from localr1.model_options import ModelOptions
from localr1.worker.frames import EngineInfo, LoadReport, MeasuredBuffer
from quant.gguf.header import read_header
from tests.support.fake_engine import FakeEngine, Script, a_report

_GIB = 1024**3
CPU = Device("CPU", DeviceKind.CPU, "a processor", 32 * _GIB, 30 * _GIB)
CARD = Device("CUDA0", DeviceKind.CUDA, "a card", 8 * _GIB, 7 * _GIB)
OPTIONS = ModelOptions(n_ctx=512)


@dataclass
class LoadableEngine(FakeEngine):
    """Also loads, or fails to."""

    scripts: list[Script] = field(default_factory=list)
    devices: tuple[Device, ...] = (CPU,)
    failure: EngineError | None = None
    loaded: list[EngineParameters] = field(default_factory=list)

    @property
    def info(self) -> EngineInfo:
        """What it says of itself."""
        return EngineInfo(
            pid=1,
            llama_cpp_python="0",
            supports_gpu_offload=len(self.devices) > 1,
            supports_rpc=False,
            devices=self.devices,
        )

    def load(self, parameters: EngineParameters, /) -> Generator[float, None, LoadReport]:
        """Note what was asked, report a load of r1-nano's size."""
        self.loaded.append(parameters)
        for tensor in range(1000):
            yield tensor / 999
        if self.failure is not None:
            raise self.failure
        buffer = MeasuredBuffer(device="CPU", purpose="kv", n_bytes=1536 * 1024)
        return replace(a_report(), buffers=(buffer,))


def launch_of(
    path: Path, *engines: LoadableEngine, options: ModelOptions = OPTIONS
) -> tuple[Launch, Callable[[], tuple[list[Event], OpenedModel]]]:
    """The launch of a file on the first of these engines that loads, and what runs it."""
    waiting = list(engines)
    card = ModelCard.from_header(read_header(path))
    launch = Launch(path, card, options, start_engine=lambda _servers: waiting.pop(0))

    def run() -> tuple[list[Event], OpenedModel]:
        events: list[Event] = []
        opening = launch.open()
        while True:
            try:
                events.append(next(opening))
            except StopIteration as done:
                return events, done.value

    return launch, run
