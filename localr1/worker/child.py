"""Owns the engine's process: `python -P -m localr1.worker.child`. The model lives and dies here.

The main thread loads, reads and decodes; a second one listens, so that a cancel is heard in the
middle of an evaluation. Requests are answered in order, each under its number. Requests that
cannot be met are refused with a message; anything worse ends the process, and the parent tells.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Collection
from functools import partial
from typing import Any

from backends import llama
from backends.errors import BackendError, LlamaRefusedError
from backends.native import NativeLlama, NativeModel
from backends.parameters import EngineParameters
from backends.rpc import buffer_names
from localr1.worker.channel import Channel
from localr1.worker.childside import enter, say_ready
from localr1.worker.death import is_device_failure, telling_line
from localr1.worker.frames import (
    DeviceMemory,
    EngineInfo,
    GenerateRequest,
    LoadReport,
    MeasuredBuffer,
    PrefillProgress,
    Segment,
    TokenPiece,
)
from localr1.worker.generation import Generator
from localr1.worker.interrupt import Interrupt
from localr1.worker.load_log import measured_buffers
from localr1.worker.observation import Observation
from localr1.worker.outbox import Outbox
from localr1.worker.prompt_tokens import PromptTokenizer
from localr1.worker.protocol import FrameError, Message, from_json, to_json
from localr1.worker.vitals import resident_bytes

_EVERYTHING = sys.maxsize
_LEAST_PROGRESS = 0.01


class EngineLoop:
    """Answers requests from one channel with one llama.cpp."""

    def __init__(
        self, channel: Channel, native: NativeLlama, *, leave: Callable[[int], None] = os._exit
    ) -> None:
        self._channel = channel
        self._native = native
        self._leave = leave
        self._outbox = Outbox(channel)
        self._inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._interrupt = Interrupt()
        self._log: list[str] = []
        self._loaded: _Loaded | None = None
        self._buffer_names: dict[str, str] = {}
        native.on_log(self._note_log)

    def run(self) -> None:
        """Say READY and answer until told to close."""
        say_ready(self._channel, to_json(_describe(self._native)))
        threading.Thread(target=self._listen, name="listener", daemon=True).start()
        while (message := self._inbox.get())["type"] != "close":
            self._answer(message)
        self._unload()

    def _listen(self) -> None:
        """Queue requests; set the interrupt for a cancel at once. Ends with the channel."""
        try:
            while True:
                message = self._channel.receive()
                if message is None or message["type"] == "close":
                    break
                if message["type"] == "cancel":
                    self._interrupt.cancel(int(message["request"]))
                else:
                    self._inbox.put(message)
        except (EOFError, FrameError):
            # the parent is gone: nobody is left to answer, and nothing is worth saving
            self._leave(1)
        self._interrupt.cancel(_EVERYTHING)
        self._inbox.put({"type": "close"})

    def _answer(self, message: Message) -> None:
        request = int(message["request"])
        self._interrupt.begin(request)
        try:
            match message["type"]:
                case "load":
                    self._load(request, from_json(EngineParameters, message["body"]))
                case "connect":
                    self._connect(request, from_json(tuple[str, ...], message["body"]))
                case "tokenize":
                    self._tokenize(request, from_json(tuple[Segment, ...], message["body"]))
                case "generate":
                    self._generate(request, from_json(GenerateRequest, message["body"]))
                case "read" | "observe" | "table" | "sums":
                    self._measure(request, message["type"], message["body"])
                case unknown:
                    self._refuse(request, f"no request is called {unknown}")
        except BackendError as exc:
            self._refuse(request, exc.message, exc.hint)
        except EOFError:
            self._leave(1)
        except Exception as exc:  # noqa: BLE001 - the worker's edge; the text may hold the prompt
            self._refuse(request, f"the engine failed with {type(exc).__name__}")

    def _connect(self, request: int, endpoints: tuple[str, ...]) -> None:
        for endpoint in endpoints:
            self._native.add_rpc_server(endpoint)
        info = _describe(self._native)
        self._buffer_names = buffer_names(info.devices)
        self._outbox.send("connected", request, body=to_json(info))

    def _load(self, request: int, parameters: EngineParameters) -> None:
        started_s = time.monotonic()
        self._unload()
        self._log.clear()
        reported = 0.0

        def on_progress(share: float) -> bool:
            nonlocal reported
            if share >= reported + _LEAST_PROGRESS:
                reported = share
                self._outbox.send("progress", request, share=share)
            return not self._interrupt.is_set

        model = self._native.load(parameters, on_progress, self._interrupt)
        used = partial(_device_memory, self._native, parameters.devices)
        self._loaded = _Loaded(model, self._interrupt, used)
        self._loaded.generator.warm_up()
        buffers = measured_buffers("".join(self._log), self._buffer_names)
        report = self._loaded.report(buffers, time.monotonic() - started_s)
        self._outbox.send("loaded", request, body=to_json(report))

    def _tokenize(self, request: int, segments: tuple[Segment, ...]) -> None:
        self._outbox.send("encoded", request, ids=self._model().tokenizer.encode(segments))

    def _generate(self, request: int, wanted: GenerateRequest) -> None:
        loaded = self._model()
        prompt = loaded.tokenizer.encode(wanted.segments)
        n_ctx = loaded.model.n_ctx
        if not prompt:
            raise LlamaRefusedError("the prompt is empty")
        if len(prompt) > n_ctx:
            self._outbox.send("overflow", request, n_prompt=len(prompt), n_ctx=n_ctx)
            return
        for frame in loaded.generator.generate(prompt, wanted.sampling, wanted.max_tokens):
            if isinstance(frame, TokenPiece):
                self._outbox.send_piece(request, frame)
            else:
                type_ = "prefill" if isinstance(frame, PrefillProgress) else "end"
                self._outbox.send(type_, request, body=to_json(frame))

    def _measure(self, request: int, what: str, body: Any) -> None:
        loaded = self._model()
        observation = loaded.observation
        match what:
            case "read":
                tokens = observation.tokens(from_json(str, body))
                self._outbox.send("encoded", request, ids=tokens)
            case "observe":
                loaded.generator.forget_all()
                observation.observe(from_json(tuple[int, ...], body))
                self._outbox.send("observed", request)
            case "table":
                self._outbox.send("table", request, body=to_json(observation.table()))
            case "sums":
                for piece in observation.pieces(from_json(str, body)):
                    self._outbox.send("sums", request, data=piece)

    def _model(self) -> _Loaded:
        if self._loaded is None:
            raise LlamaRefusedError("no model is loaded")
        return self._loaded

    def _unload(self) -> None:
        if self._loaded is not None:
            self._loaded.model.close()
            self._loaded = None

    def _refuse(self, request: int, message: str, hint: str = "") -> None:
        log = "".join(self._log)
        line = telling_line(log)
        self._outbox.send(
            "refused",
            request,
            message=f"{message}: {line}" if line else message,
            hint=hint,
            is_device_failure=is_device_failure(log),
        )
        self._log.clear()

    def _note_log(self, text: str) -> None:
        os.write(2, text.encode("utf-8", errors="replace"))
        self._log.append(text)


class _Loaded:
    """A model with what is needed to talk to it."""

    def __init__(
        self,
        model: NativeModel,
        interrupt: Interrupt,
        devices: Callable[[], tuple[DeviceMemory, ...]],
    ) -> None:
        self.model = model
        self.observation = Observation(model)
        self._special = model.special_tokens()
        self.tokenizer = PromptTokenizer(model, self._special)
        self.generator = Generator(
            model,
            interrupt,
            resident_bytes=lambda: resident_bytes(os.getpid()),
            devices=devices,
        )

    def report(self, buffers: tuple[MeasuredBuffer, ...], seconds: float) -> LoadReport:
        model = self.model
        return LoadReport(
            n_ctx=model.n_ctx,
            n_vocab=model.n_vocab,
            buffers=buffers,
            resident_bytes=resident_bytes(os.getpid()),
            bos_text=_text_of(model, model.bos_id),
            eos_text=_text_of(model, model.eos_id),
            adds_bos=model.adds_bos,
            special_tokens=self._special,
            seconds=seconds,
        )


def _text_of(model: NativeModel, token: int) -> str:
    return model.piece(token).decode("utf-8", errors="replace") if token >= 0 else ""


def _device_memory(native: NativeLlama, names: Collection[str]) -> tuple[DeviceMemory, ...]:
    """What is left on those of these devices that have a memory of their own."""
    return tuple(
        DeviceMemory(name=device.name, free_bytes=device.free_bytes)
        for device in (native.devices() if names else ())
        if device.name in names and not device.is_unified
    )


def _describe(native: NativeLlama) -> EngineInfo:
    return EngineInfo(
        pid=os.getpid(),
        llama_cpp_python=native.version,
        supports_gpu_offload=native.supports_gpu_offload,
        supports_rpc=native.supports_rpc,
        devices=native.devices(),
    )


def main() -> None:
    """Run the engine on the channel named on the command line."""
    channel = enter(sys.argv)
    try:
        native = llama.bind()
    except BackendError as exc:
        channel.send({"type": "refused", "message": exc.message, "hint": exc.hint})
        return
    EngineLoop(channel, native).run()


if __name__ == "__main__":
    main()
