"""Owns the seam to llama.cpp: what the engine needs of it, as protocols.

`llama` implements them on the C library; tests stand a fake in, with GPUs this machine does not
have and loads that fail. Nothing here mentions ctypes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Protocol

from backends.device import Device
from backends.input_sums import ColumnSums
from backends.parameters import EngineParameters


class DecodeStatus(Enum):
    """How an evaluation ended, when it did not fail."""

    DONE = "done"
    ABORTED = "aborted"  # the abort flag was set; nothing of this batch is in memory


class AbortFlag(Protocol):
    """A flag in memory that native code reads between two graph nodes."""

    @property
    def address(self) -> int:
        """Where the two bytes are; the first one is non-zero when work should stop."""
        ...

    @property
    def is_set(self) -> bool:
        """Whether work should stop."""
        ...


class SamplerSettings(Protocol):
    """How the next token is chosen. `temperature` 0 or less is greedy; neutral values are off."""

    @property
    def temperature(self) -> float: ...  # noqa: D102 - llama.cpp's own words
    @property
    def top_k(self) -> int: ...  # noqa: D102
    @property
    def top_p(self) -> float: ...  # noqa: D102
    @property
    def min_p(self) -> float: ...  # noqa: D102
    @property
    def repeat_penalty(self) -> float: ...  # noqa: D102
    @property
    def repeat_last_n(self) -> int: ...  # noqa: D102
    @property
    def frequency_penalty(self) -> float: ...  # noqa: D102
    @property
    def presence_penalty(self) -> float: ...  # noqa: D102
    @property
    def seed(self) -> int | None: ...  # noqa: D102


class NativeSampler(Protocol):
    """A sampler chain with its own state."""

    def sample(self) -> int:
        """Choose a token from the logits of the last evaluated one, and remember it."""
        ...

    def close(self) -> None:
        """Free it."""
        ...


class NativeModel(Protocol):
    """A loaded model with one context and one sequence."""

    @property
    def n_ctx(self) -> int:
        """Tokens the context holds."""
        ...

    @property
    def n_batch(self) -> int:
        """Most tokens one `decode` takes."""
        ...

    @property
    def n_swa(self) -> int:
        """Sliding attention window in tokens, 0 without one."""
        ...

    @property
    def n_vocab(self) -> int:
        """Entries of the vocabulary."""
        ...

    @property
    def bos_id(self) -> int:
        """Beginning-of-text token, -1 without one."""
        ...

    @property
    def eos_id(self) -> int:
        """End-of-text token, -1 without one."""
        ...

    @property
    def adds_bos(self) -> bool:
        """Whether every text should begin with BOS."""
        ...

    def special_tokens(self) -> dict[str, int]:
        """Text to id of control and user-defined tokens."""
        ...

    def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        """Token ids of a text, without BOS."""
        ...

    def piece(self, token: int) -> bytes:
        """The bytes a token stands for; special tokens too."""
        ...

    def ends_generation(self, token: int) -> bool:
        """Whether the token ends a reply."""
        ...

    def decode(self, tokens: Sequence[int]) -> DecodeStatus:
        """Evaluate up to `n_batch` tokens after those in memory.

        Raises: LlamaRefusedError when llama.cpp cannot.
        """
        ...

    def observe(self, tokens: Sequence[int]) -> None:
        """Evaluate a text from its beginning, and add up what goes into each weight.

        Raises: LlamaRefusedError when llama.cpp cannot, or the model was not loaded for it.
        """
        ...

    def input_sums(self) -> Mapping[str, ColumnSums]:
        """What `observe` added up, by the name of the weight."""
        ...

    def truncate(self, n_keep: int) -> bool:
        """Forget everything from position `n_keep` on. False if this memory cannot."""
        ...

    def first_position(self) -> int:
        """The oldest position still in memory, -1 when empty."""
        ...

    def clear(self) -> None:
        """Forget everything."""
        ...

    def sampler(self, settings: SamplerSettings, prompt: Sequence[int]) -> NativeSampler:
        """A sampler whose penalties see the end of the prompt."""
        ...

    def close(self) -> None:
        """Free context and model."""
        ...


class NativeLlama(Protocol):
    """llama.cpp itself."""

    @property
    def version(self) -> str:
        """Version of llama-cpp-python."""
        ...

    @property
    def supports_gpu_offload(self) -> bool:
        """Whether this build can use any GPU."""
        ...

    @property
    def supports_rpc(self) -> bool:
        """Whether this build can use other machines."""
        ...

    def devices(self) -> tuple[Device, ...]:
        """What ggml's registry holds, with memory as of now."""
        ...

    def add_rpc_server(self, endpoint: str) -> None:
        """Let the registry have a server's devices. Ends the process if it is not there.

        Raises: LlamaRefusedError if it has none.
        """
        ...

    def on_log(self, sink: Callable[[str], None]) -> None:
        """Send every piece of llama.cpp's log to `sink` from now on."""
        ...

    def load(
        self, parameters: EngineParameters, on_progress: Callable[[float], bool], abort: AbortFlag
    ) -> NativeModel:
        """Load a model; `on_progress` gets 0 to 1 and returns False to stop.

        Raises: LlamaRefusedError when llama.cpp says no.
        """
        ...
