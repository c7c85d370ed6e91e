"""Owns the engine as the rest of the program sees it: a model that may die without taking us along.

One request runs at a time. `cancel` may come from any thread. Errors are those of
`localr1.errors`: EngineDiedError, EngineRefusedError, ContextOverflowError.
"""

from __future__ import annotations

import base64
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from backends.device import DeviceKind
from backends.errors import LlamaMissingError
from backends.parameters import EngineParameters
from backends.probe import install_command
from backends.rpc import RpcServer, greet
from localr1.errors import EngineDiedError
from localr1.worker.dialogue import Dialogue, Reply
from localr1.worker.frames import (
    EngineInfo,
    GenerateRequest,
    GenerationEnd,
    GenerationFrame,
    LoadReport,
    PrefillProgress,
    Segment,
    TokenPiece,
)
from localr1.worker.process import ChildProcess
from localr1.worker.protocol import FrameError, Message, from_json, to_json
from localr1.worker.vitals import resident_bytes
from quant.importance.measured import MeasuredTensor

_STALL_S = 30.0
_REMOTE_STALL_S = 300.0  # while another machine computes, nothing is seen to be done here
_LOAD_STALL_S = 60.0
_SLOWEST_DISK_BYTES_PER_S = 50e6


class Engine:
    """One child process with at most one model in it."""

    def __init__(self, child: ChildProcess, info: EngineInfo) -> None:
        self._child = child
        self._dialogue = Dialogue(child)
        self.info = info

    @classmethod
    def start(
        cls,
        rpc_servers: Sequence[RpcServer] = (),
        *,
        log_dir: Path | None = None,
        timeout_s: float = 60.0,
    ) -> Engine:
        """Start the child and wait until llama.cpp is up in it, with the devices of all servers.

        Raises: EngineStartError; RpcServerError, LlamaMissingError or EngineDiedError where a
        server cannot be had.
        """
        child = ChildProcess.start(
            "localr1.worker.child", name="engine", log_dir=log_dir, timeout_s=timeout_s
        )
        try:
            engine = cls(child, from_json(EngineInfo, dict(child.facts)))
            engine.connect(rpc_servers)
        except FrameError as exc:
            error = child.reject(str(exc))
            child.close()
            raise error from exc
        except BaseException:
            child.close()
            raise
        return engine

    def connect(self, servers: Sequence[RpcServer]) -> None:
        """Use the devices of these servers, too, and name them in `info`.

        Raises: RpcServerError or EngineDiedError for what is wrong with a server,
        LlamaMissingError for a llama.cpp that cannot use any.
        """
        if not servers:
            return
        if not self.info.supports_rpc:
            raise LlamaMissingError(
                "llama-cpp-python was built without RPC, and cannot use the devices of servers",
                hint=install_command(DeviceKind.RPC, sys.executable),
            )
        for server in servers:
            greet(server)
        endpoints = [server.endpoint for server in servers]
        with self._dialogue.request("connect", endpoints, stall_s=_STALL_S) as reply:
            self.info = reply.complete(EngineInfo, reply.wait().get("body"))

    @property
    def pid(self) -> int:
        """Process id of the child."""
        return self._child.pid

    @property
    def is_alive(self) -> bool:
        """True while requests make sense."""
        return self._child.is_alive

    @property
    def _stall_s(self) -> float:
        """How long the child may seem idle while it is busy."""
        is_remote = any(device.kind is DeviceKind.RPC for device in self.info.devices)
        return _REMOTE_STALL_S if is_remote else _STALL_S

    def load(self, parameters: EngineParameters) -> Generator[float, None, LoadReport]:
        """Load a model in place of any other; yields progress from 0 to 1, returns the report.

        The model has evaluated one token by then. Closing the generator stops the load.
        Raises: EngineRefusedError with the reason from llama.cpp's log.
        """
        path = Path(parameters.model_path).absolute()  # the child runs in another directory
        n_bytes = path.stat().st_size if path.is_file() else 0
        stall_s = max(_LOAD_STALL_S, self._stall_s) + n_bytes / _SLOWEST_DISK_BYTES_PER_S
        body = to_json(replace(parameters, model_path=str(path)))
        with self._dialogue.request("load", body, stall_s=stall_s) as reply:
            while (message := reply.wait())["type"] == "progress":
                yield reply.decode(float, message.get("share"))
            report: LoadReport = reply.complete(LoadReport, message.get("body"))
            return report

    def tokenize(self, segments: Sequence[Segment]) -> list[int]:
        """Token ids of a prompt, exactly as `generate` would read it."""
        with self._dialogue.request("tokenize", to_json(segments), stall_s=self._stall_s) as reply:
            return list(reply.complete(tuple[int, ...], reply.wait().get("ids")))

    def generate(self, wanted: GenerateRequest) -> Iterator[GenerationFrame]:
        """Stream one reply; the last frame is a GenerationEnd, within 100 ms of a `cancel`.

        Raises: ContextOverflowError before any work if the prompt does not fit.
        """
        with self._dialogue.request("generate", to_json(wanted), stall_s=self._stall_s) as reply:
            tally = _Tally()
            while not reply.is_complete:
                message = reply.poll()
                if message is not None:
                    for frame in _frames(reply, message):
                        tally.note(frame)
                        yield frame
                elif reply.is_cancel_overdue:
                    yield tally.cancelled(resident_bytes(self.pid))
                    return

    def read(self, text: str) -> list[int]:
        """Token ids of a text as it stands, led by BOS if the model wants one."""
        with self._dialogue.request("read", text, stall_s=self._stall_s) as reply:
            return list(reply.complete(tuple[int, ...], reply.wait().get("ids")))

    def observe(self, chunk: Sequence[int]) -> None:
        """Evaluate a chunk of a text, and add up what goes into each weight.

        The model must have been loaded with `observes_inputs`. Raises: EngineRefusedError.
        """
        with self._dialogue.request("observe", list(chunk), stall_s=self._stall_s) as reply:
            reply.complete(str, reply.wait()["type"])

    def observed(self) -> tuple[MeasuredTensor, ...]:
        """The weights that were observed, in order of their names."""
        with self._dialogue.request("table", None, stall_s=self._stall_s) as reply:
            table: tuple[MeasuredTensor, ...] = reply.complete(
                tuple[MeasuredTensor, ...], reply.wait().get("body")
            )
            return table

    def input_sums(self, weight: MeasuredTensor) -> Iterator[bytes]:
        """The sums of a weight, float32 little endian, in pieces."""
        n_missing = 4 * weight.n_sums
        with self._dialogue.request("sums", weight.name, stall_s=self._stall_s) as reply:
            while n_missing:
                piece = _decoded(reply.decode(str, reply.wait().get("data")))
                if not 0 < len(piece) <= n_missing:
                    raise self._child.reject(f"not the sums of {weight.name}")
                n_missing -= len(piece)
                yield piece
            reply.is_complete = True

    def cancel(self) -> None:
        """Stop the request that runs, if any. Thread-safe, and safe at any time."""
        self._dialogue.cancel()

    def when_ended(self, tell: Callable[[EngineDiedError], None]) -> None:
        """Call `tell` when the child ends unasked, from another thread; at once if it has."""
        self._child.when_ended(tell)

    def close(self) -> None:
        """End the child. Safe to call twice."""
        self._child.close()


def _frames(reply: Reply, message: Message) -> Sequence[GenerationFrame]:
    match message["type"]:
        case "pieces":
            pieces: tuple[TokenPiece, ...] = reply.decode(
                tuple[TokenPiece, ...], message.get("pieces")
            )
            return pieces
        case "prefill":
            return [reply.decode(PrefillProgress, message.get("body"))]
        case _:
            return [reply.complete(GenerationEnd, message.get("body"))]


def _decoded(data: str) -> bytes:
    """Bytes from base64; none if it is no base64."""
    try:
        return base64.b64decode(data, validate=True)
    except ValueError:
        return b""


class _Tally:
    """Counts a reply as it passes, for the end that the child had no time to send."""

    def __init__(self) -> None:
        self._started_s = time.monotonic()
        self._prefill = PrefillProgress(n_done=0, n_total=0, n_cached=0)
        self._prefilled_s = self._started_s
        self._n_generated = 0

    def note(self, frame: GenerationFrame) -> None:
        if isinstance(frame, TokenPiece):
            self._n_generated += 1
        elif isinstance(frame, PrefillProgress):
            self._prefill = frame
            self._prefilled_s = time.monotonic()

    def cancelled(self, n_resident_bytes: int) -> GenerationEnd:
        return GenerationEnd(
            reason="cancelled",
            text="",
            n_prompt=self._prefill.n_total,
            n_cached=self._prefill.n_cached,
            n_generated=self._n_generated,
            prefill_s=self._prefilled_s - self._started_s,
            decode_s=time.monotonic() - self._prefilled_s,
            n_ctx_used=self._prefill.n_done + self._n_generated,
            resident_bytes=n_resident_bytes,
        )
