"""Owns what each layer of a model remembers: keys and values, a recurrent state, or neither.

Most layers cache keys and values. Some models reuse the cache of an earlier layer; hybrids keep a
state of fixed size in most layers instead, Falcon-H1 both in all. Source:
`llama_model::create_memory` (src/llama-model.cpp), `n_embd_r` and `n_embd_s`
(src/llama-hparams.cpp) and `load_arch_hparams` in
src/models/{gemma3n,gemma4,qwen3next,qwen35,nemotron-h,falcon-h1,...}.cpp of llama.cpp at the pinned
version.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_HAS_BOTH = frozenset({"falcon-h1"})
_ATTENTION_INTERVAL = {"minimax-01": 8, "qwen35": 4, "qwen35moe": 4, "qwen3next": 4, "qwen4exp": 4}
"""One layer in so many attends, where the header does not say which."""
_WITHOUT_NETWORK = frozenset({"nemotron_h", "nemotron_h_moe"})
"""A layer of these is one thing only: attention, recurrence or feed-forward network."""
_CACHED_FROM_START = {"gemma3n": 20}
"""Layers beyond these reuse an earlier cache, whatever the header says."""
_TOKEN_SHIFTS = 2
_KDA_KERNEL = 4
_WKV_HEAD = 64
"""Of all RWKV models there are; logs do not print it."""


@dataclass(frozen=True, slots=True)
class LayerMemory:
    """One item per layer."""

    has_kv: tuple[bool, ...]
    """Whether the layer has a cache of its own."""
    state_numbers: tuple[int, ...]
    """Float32 numbers of recurrent state per sequence."""


def read_layer_memory(
    kv: Mapping[str, object],
    arch: str,
    *,
    n_embd: int,
    n_head: Sequence[int],
    n_head_kv: Sequence[int],
    n_ff: Sequence[int],
) -> LayerMemory:
    """What every layer remembers, from the header's key-values."""
    facts = _Facts(kv, arch)
    n_layer = len(n_head_kv)
    state = _state_numbers(facts, n_embd=n_embd, n_head=max(n_head, default=0))
    if not state:
        n_cached = _CACHED_FROM_START.get(arch, n_layer - facts.count("attention.shared_kv_layers"))
        has_kv = tuple(i < n_cached and n_head_kv[i] > 0 for i in range(n_layer))
        return LayerMemory(has_kv, (0,) * n_layer)
    recurs = _recurrent_layers(facts, n_head_kv, n_ff)
    has_kv = tuple(
        n_head_kv[i] > 0
        and (arch in _HAS_BOTH or not recurs[i])
        and (arch not in _WITHOUT_NETWORK or n_ff[i] == 0)
        for i in range(n_layer)
    )
    return LayerMemory(has_kv, tuple(state if recurs[i] else 0 for i in range(n_layer)))


class _Facts:
    def __init__(self, kv: Mapping[str, object], arch: str) -> None:
        self._kv = kv
        self.arch = arch

    def value(self, name: str) -> object:
        return self._kv.get(f"{self.arch}.{name}")

    def count(self, name: str, default: int = 0) -> int:
        """A whole number; logs print some of them as 15.0."""
        value = self.value(name)
        if isinstance(value, int | float) and value >= 0 and float(value).is_integer():
            return int(value)
        return default


def _state_numbers(facts: _Facts, *, n_embd: int, n_head: int) -> int:
    """Of one recurrent layer and one sequence: what is convolved, and the state proper."""
    if wkv := facts.count("wkv.head_size", _WKV_HEAD if facts.arch.startswith("rwkv") else 0):
        return facts.count("token_shift_count", _TOKEN_SHIFTS) * n_embd + n_embd * wkv
    if n_cached := facts.count("shortconv.l_cache"):
        return n_embd * (n_cached - 1)
    kernel = facts.count("ssm.conv_kernel")
    if kda := facts.count("kda.head_dim"):
        return 3 * ((kernel or _KDA_KERNEL) - 1) * n_head * kda + kda * kda * n_head
    inner, size = facts.count("ssm.inner_size"), facts.count("ssm.state_size")
    n_convolved = max(kernel - 1, 0) * (inner + 2 * facts.count("ssm.group_count") * size)
    return n_convolved + size * inner


def _recurrent_layers(
    facts: _Facts, n_head_kv: Sequence[int], n_ff: Sequence[int]
) -> tuple[bool, ...]:
    n_layer = len(n_head_kv)
    stated = facts.value("attention.recurrent_layers")
    if isinstance(stated, tuple) and len(stated) >= n_layer:
        return tuple(bool(item) for item in stated[:n_layer])
    if facts.arch in _HAS_BOTH:
        return (True,) * n_layer
    if facts.arch in _ATTENTION_INTERVAL:
        period = facts.count("full_attention_interval") or _ATTENTION_INTERVAL[facts.arch]
        return tuple((i + 1) % period != 0 for i in range(n_layer))
    if facts.arch in _WITHOUT_NETWORK:
        return tuple(n_head_kv[i] == 0 and n_ff[i] == 0 for i in range(n_layer))
    return tuple(n == 0 for n in n_head_kv)
