"""Owns what parent and engine say to each other, as frozen dataclasses.

`protocol` puts them on the wire. The parent asks (`GenerateRequest`), the engine streams
(`PrefillProgress`, `TokenPiece`, `GenerationEnd`) and reports (`LoadReport`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from backends.device import Device

StopReason = Literal["eog", "length", "context", "cancelled"]
BufferPurpose = Literal["weights", "kv", "recurrent", "compute", "output"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineInfo:
    """What the child found when it came up."""

    pid: int
    llama_cpp_python: str
    """Version of the installed package."""
    supports_gpu_offload: bool
    supports_rpc: bool
    devices: tuple[Device, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredBuffer:
    """One buffer as llama.cpp's own log printed it."""

    device: str
    """The log's buffer name: `CPU`, `CPU_Mapped`, `CPU_REPACK`, `CUDA0`, `CUDA_Host` ...; of a
    remote device its own name."""
    purpose: BufferPurpose
    n_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReport:
    """What llama.cpp made of the model: sizes, measured memory, and how its tokens are spelled."""

    n_ctx: int
    n_vocab: int
    buffers: tuple[MeasuredBuffer, ...]
    resident_bytes: int
    bos_text: str
    eos_text: str
    adds_bos: bool
    """True when llama.cpp wants a BOS in front of every text (then templates must not add one)."""
    special_tokens: dict[str, int]
    """Text to id of control and user-defined tokens: what a document could use to forge roles."""
    seconds: float


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of prompt text. Without `parse_special`, `<|im_end|>` stays plain text."""

    text: str
    parse_special: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How the next token is chosen. Defaults: DeepSeek's advice for R1 (0.6 / 0.95)."""

    temperature: float = 0.6
    """0 or less means greedy."""
    top_k: int = 40
    """0 or less means off."""
    top_p: float = 0.95
    min_p: float = 0.0
    repeat_penalty: float = 1.0
    repeat_last_n: int = 64
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    seed: int | None = None
    """None means a random one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateRequest:
    """One reply: the prompt in segments, how to sample, and when to stop."""

    segments: tuple[Segment, ...]
    sampling: Sampling
    max_tokens: int | None = None
    """None means until the model ends or the context is full."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefillProgress:
    """How much of the prompt has been read. The first one comes before any work is done."""

    n_done: int
    n_total: int
    n_cached: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPiece:
    """One sampled token. `text` is empty while a UTF-8 character is still incomplete."""

    id: int
    text: str
    at_s: float = 0.0
    """When it was sampled, in seconds after the first one: tokens may travel in bundles."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceMemory:
    """What is left on a device that has a memory of its own."""

    name: str
    free_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationEnd:
    """Generation stopped: why, and what each phase took."""

    reason: StopReason
    text: str
    """What was held back of an incomplete character, as U+FFFD; usually empty."""
    n_prompt: int
    n_cached: int
    n_generated: int
    prefill_s: float
    decode_s: float
    n_ctx_used: int
    resident_bytes: int
    devices: tuple[DeviceMemory, ...] = ()
    """As far as the engine could still look."""


GenerationFrame = PrefillProgress | TokenPiece | GenerationEnd
