"""Model cards of known models, without files."""

from __future__ import annotations

from types import MappingProxyType

from localr1.model_facts.card import ModelCard
from quant.gguf.contents import TensorInfo
from quant.gguf.types import TensorType


def qwen_7b() -> ModelCard:
    """The shape of R1-Distill-Qwen-7B without norms and biases, all matrices in Q8_0."""
    n_layer, n_embd, n_kv, n_ff, n_vocab = 28, 3584, 512, 18_944, 152_064
    layer = {
        "attn_q": (n_embd, n_embd),
        "attn_k": (n_embd, n_kv),
        "attn_v": (n_embd, n_kv),
        "attn_output": (n_embd, n_embd),
        "ffn_gate": (n_embd, n_ff),
        "ffn_up": (n_embd, n_ff),
        "ffn_down": (n_ff, n_embd),
    }
    shapes = {"token_embd.weight": (n_embd, n_vocab), "output.weight": (n_embd, n_vocab)}
    for i in range(n_layer):
        shapes |= {f"blk.{i}.{name}.weight": dims for name, dims in layer.items()}
    tensors, offset = [], 0
    for name, dims in shapes.items():
        n_bytes = TensorType["Q8_0"].n_bytes(dims[0] * dims[1])
        tensors.append(TensorInfo(name, "Q8_0", dims, offset, n_bytes))
        offset += n_bytes
    return ModelCard(
        name="Qwen 7B",
        arch="qwen2",
        quant="Q8_0",
        n_params=7_615_616_512,
        file_bytes=offset,
        n_layer=n_layer,
        n_embd=n_embd,
        n_vocab=n_vocab,
        n_ctx_train=131_072,
        n_ff=(n_ff,) * n_layer,
        n_head=(28,) * n_layer,
        n_head_kv=(4,) * n_layer,
        head_dim_k=(128,) * n_layer,
        head_dim_v=(128,) * n_layer,
        n_swa=0,
        is_swa=(False,) * n_layer,
        has_kv=(True,) * n_layer,
        state_numbers=(0,) * n_layer,
        experts=None,
        is_tied=False,
        tensors=tuple(tensors),
        unplanned=(),
        tokenizer_model="gpt2",
        bos_id=None,
        eos_id=None,
        chat_template=None,
        sampling=MappingProxyType({}),
    )
