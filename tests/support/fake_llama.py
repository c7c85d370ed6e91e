"""A llama.cpp without weights: bytes are tokens, and the next one is a function of all before.

Because every token depends on the whole memory, a cache that disagrees with the prompt shows at
once in the text. Devices, refusals and interruptions are scripted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from backends.device import Device, DeviceKind
from backends.errors import LlamaRefusedError
from backends.input_sums import ColumnSums
from backends.native import AbortFlag, DecodeStatus, NativeModel, NativeSampler, SamplerSettings
from backends.parameters import EngineParameters

GIB = 1024**3
CPU = Device("CPU", DeviceKind.CPU, "a processor", 16 * GIB, 8 * GIB)
CUDA0 = Device("CUDA0", DeviceKind.CUDA, "a small card", 8 * GIB, 7 * GIB)
CUDA1 = Device("CUDA1", DeviceKind.CUDA, "a big card", 24 * GIB, 23 * GIB)
METAL = Device("MTL0", DeviceKind.METAL, "a Mac", 64 * GIB, 48 * GIB, is_unified=True)

_ENDPOINT = "gpu-box:50052"
RPC0 = Device("RPC0", DeviceKind.RPC, _ENDPOINT, 12 * GIB, 11 * GIB)
RPC1 = Device("RPC1", DeviceKind.RPC, _ENDPOINT, 24 * GIB, 23 * GIB)

SPECIAL = {"<bos>": 256, "<eos>": 257, "<role>": 258, "\n\n": 259}
_TEXT = {token: text.encode() for text, token in SPECIAL.items()}


def next_token(memory: Sequence[int]) -> int:
    """What follows: a printable character that depends on every token and its place."""
    return 32 + sum((place + 1) * token for place, token in enumerate(memory)) % 90


@dataclass
class FakeModel:
    """`NativeModel` on a list."""

    n_ctx: int = 64
    n_batch: int = 4
    n_swa: int = 0
    adds_bos: bool = False
    can_truncate: bool = True
    is_interrupted: Callable[[], bool] = lambda: False
    script: list[int] = field(default_factory=list)
    """Tokens to sample before `next_token` takes over."""
    n_vocab: int = 260
    bos_id: int = 256
    eos_id: int = 257
    memory: list[int] = field(default_factory=list)
    n_evaluated: int = 0
    observed: list[list[int]] = field(default_factory=list)
    is_closed: bool = False

    def special_tokens(self) -> dict[str, int]:
        return dict(SPECIAL)

    def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        data, tokens = text.encode(), []
        while data:
            # as llama.cpp: <role> is user-defined, and parsed even where it should not be
            known = {t: b for t, b in _TEXT.items() if parse_special or t in (258, 259)}
            token = next((t for t, b in known.items() if data.startswith(b)), data[0])
            tokens.append(token)
            data = data[len(self.piece(token)) :]
        return tokens

    def piece(self, token: int) -> bytes:
        return _TEXT[token] if token in _TEXT else bytes([token])

    def ends_generation(self, token: int) -> bool:
        return token == self.eos_id

    def decode(self, tokens: Sequence[int]) -> DecodeStatus:
        assert 0 < len(tokens) <= self.n_batch
        if len(self.memory) + len(tokens) > self.n_ctx:
            raise LlamaRefusedError("no room")
        if self.is_interrupted():
            self.memory += tokens[:1]  # an unfinished batch leaves something behind
            return DecodeStatus.ABORTED
        self.memory += tokens
        self.n_evaluated += len(tokens)
        return DecodeStatus.DONE

    def observe(self, tokens: Sequence[int]) -> None:
        self.observed.append(list(tokens))

    def input_sums(self) -> Mapping[str, ColumnSums]:
        """Two columns: the sum of all token ids, and its double."""
        total = sum(token for tokens in self.observed for token in tokens)
        sums = np.array([[total, 2 * total]], dtype=np.float32)
        return {"blk.0.attn_q.weight": ColumnSums(sums, [sum(map(len, self.observed))])}

    def truncate(self, n_keep: int) -> bool:
        if self.can_truncate:
            del self.memory[n_keep:]
        return self.can_truncate

    def first_position(self) -> int:
        if self.n_swa:
            return max(0, len(self.memory) - self.n_swa)
        return 0 if self.memory else -1

    def clear(self) -> None:
        self.memory.clear()

    def sampler(self, settings: SamplerSettings, prompt: Sequence[int]) -> NativeSampler:
        return _FakeSampler(self)

    def close(self) -> None:
        self.is_closed = True


class _FakeSampler:
    def __init__(self, model: FakeModel) -> None:
        self._model = model

    def sample(self) -> int:
        script = self._model.script
        return script.pop(0) if script else next_token(self._model.memory)

    def close(self) -> None:
        pass


@dataclass
class FakeLlama:
    """`NativeLlama` with the devices of any machine."""

    registry: tuple[Device, ...] = (CPU,)
    lent: tuple[Device, ...] = ()
    """What every RPC server adds to it."""
    model: FakeModel = field(default_factory=FakeModel)
    refusal: str = ""
    """What llama.cpp would log before it returns no model; empty means the load succeeds."""
    load_log: str = ""
    loaded: list[EngineParameters] = field(default_factory=list)
    version: str = "0.3.36"
    supports_gpu_offload: bool = False
    supports_rpc: bool = False
    _sink: Callable[[str], None] = lambda _text: None

    def devices(self) -> tuple[Device, ...]:
        return self.registry

    def add_rpc_server(self, endpoint: str) -> None:
        if not self.lent:
            raise LlamaRefusedError(f"the RPC server {endpoint} has no devices")
        self.registry += self.lent

    def on_log(self, sink: Callable[[str], None]) -> None:
        self._sink = sink

    def load(
        self, parameters: EngineParameters, on_progress: Callable[[float], bool], abort: AbortFlag
    ) -> NativeModel:
        self.loaded.append(parameters)
        self._sink(self.load_log)
        for share in (0.25, 0.5, 1.0):
            on_progress(share)
        if self.refusal and parameters.devices:
            self._sink(self.refusal)
            raise LlamaRefusedError("llama.cpp cannot load the model")
        self.model.is_interrupted = lambda: abort.is_set
        return self.model
