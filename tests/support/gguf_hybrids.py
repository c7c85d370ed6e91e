"""Makes GGUF files of models that keep a recurrent state, all weights holes.

Names and shapes follow `load_arch_tensors` in llama.cpp's src/models/{qwen35,lfm2,mamba2,
falcon-h1}.cpp.
"""

from __future__ import annotations

from pathlib import Path

from tests.support.gguf_dense import DenseShape, key_values
from tests.support.gguf_writer import F32, Q8_0, Value, write_model

Dims = tuple[int, ...]

N_EMBD, N_VOCAB, N_FF, HEAD_DIM = 256, 1024, 512, 64
_KERNEL, _STATE, _GROUPS, _HEADS = 4, 32, 2, 8
_INNER = _STATE * _HEADS
_NETWORK: dict[str, Dims] = {
    "ffn_gate.weight": (N_EMBD, N_FF),
    "ffn_up.weight": (N_EMBD, N_FF),
    "ffn_down.weight": (N_FF, N_EMBD),
}
_MAMBA: dict[str, Dims] = {
    "ssm_in.weight": (N_EMBD, 2 * _INNER + 2 * _GROUPS * _STATE + _HEADS),
    "ssm_conv1d.weight": (_KERNEL, _INNER + 2 * _GROUPS * _STATE),
    "ssm_conv1d.bias": (_INNER + 2 * _GROUPS * _STATE,),
    "ssm_dt.bias": (_HEADS,),
    "ssm_a": (1, _HEADS),
    "ssm_d": (1, _HEADS),
    "ssm_norm.weight": (_INNER // _GROUPS, _GROUPS),
    "ssm_out.weight": (_INNER, N_EMBD),
}


def _attention(*, q_heads: int = 4) -> dict[str, Dims]:
    return {
        "attn_q.weight": (N_EMBD, q_heads * HEAD_DIM),
        "attn_k.weight": (N_EMBD, 2 * HEAD_DIM),
        "attn_v.weight": (N_EMBD, 2 * HEAD_DIM),
        "attn_output.weight": (4 * HEAD_DIM, N_EMBD),
    }


_QK_NORMS: dict[str, Dims] = {
    "attn_q_norm.weight": (HEAD_DIM,),
    "attn_k_norm.weight": (HEAD_DIM,),
}


def _qwen35(i_layer: int) -> dict[str, Dims]:
    norms: dict[str, Dims] = {
        "attn_norm.weight": (N_EMBD,),
        "post_attention_norm.weight": (N_EMBD,),
    }
    if i_layer == 8:  # it predicts a second token, and is not run
        draft: dict[str, Dims] = {
            "nextn.eh_proj.weight": (2 * N_EMBD, N_EMBD),
            "nextn.enorm.weight": (N_EMBD,),
            "nextn.hnorm.weight": (N_EMBD,),
        }
        return norms | _attention(q_heads=8) | _QK_NORMS | _NETWORK | draft
    if (i_layer + 1) % 4 == 0:
        return norms | _attention(q_heads=8) | _QK_NORMS | _NETWORK
    delta: dict[str, Dims] = {
        "attn_qkv.weight": (N_EMBD, 2 * _GROUPS * _STATE + _INNER),
        "attn_gate.weight": (N_EMBD, _INNER),
        "ssm_conv1d.weight": (_KERNEL, 2 * _GROUPS * _STATE + _INNER),
        "ssm_dt.bias": (_HEADS,),
        "ssm_a": (_HEADS,),
        "ssm_beta.weight": (N_EMBD, _HEADS),
        "ssm_alpha.weight": (N_EMBD, _HEADS),
        "ssm_norm.weight": (_STATE,),
        "ssm_out.weight": (_INNER, N_EMBD),
    }
    return norms | delta | _NETWORK


def _lfm2(i_layer: int) -> dict[str, Dims]:
    norms: dict[str, Dims] = {"attn_norm.weight": (N_EMBD,), "ffn_norm.weight": (N_EMBD,)}
    if i_layer % 2:
        return norms | _attention() | _QK_NORMS | _NETWORK
    convolution: dict[str, Dims] = {
        "shortconv.conv.weight": (3, N_EMBD),
        "shortconv.in_proj.weight": (N_EMBD, 3 * N_EMBD),
        "shortconv.out_proj.weight": (N_EMBD, N_EMBD),
    }
    return norms | convolution | _NETWORK


def _mamba2(_i_layer: int) -> dict[str, Dims]:
    return {"attn_norm.weight": (N_EMBD,)} | _MAMBA


def _falcon_h1(_i_layer: int) -> dict[str, Dims]:
    norms: dict[str, Dims] = {"attn_norm.weight": (N_EMBD,), "ffn_norm": (N_EMBD,)}
    return norms | _attention() | _MAMBA | _NETWORK


_SSM: dict[str, Value] = {
    "ssm.conv_kernel": _KERNEL,
    "ssm.inner_size": _INNER,
    "ssm.state_size": _STATE,
    "ssm.time_step_rank": _HEADS,
    "ssm.group_count": _GROUPS,
}
_LAYERS = {"qwen35": _qwen35, "lfm2": _lfm2, "mamba2": _mamba2, "falcon-h1": _falcon_h1}
_VALUES: dict[str, dict[str, Value]] = {
    "qwen35": _SSM | {"nextn_predict_layers": 1, "rope.dimension_sections": [8, 8, 8, 8]},
    "lfm2": {"shortconv.l_cache": 3, "attention.head_count_kv": [0, 2, 0, 2]},
    "mamba2": _SSM | {"attention.head_count": 0, "feed_forward_length": 0},
    "falcon-h1": _SSM,
}
_N_LAYERS = {"qwen35": 9, "lfm2": 4, "mamba2": 3, "falcon-h1": 3}

ARCHITECTURES = tuple(_LAYERS)


def write_hybrid(path: Path, arch: str) -> Path:
    """A loadable GGUF of that architecture."""
    n_layer = _N_LAYERS[arch]
    values = key_values(
        DenseShape(arch=arch, n_layer=n_layer, n_embd=N_EMBD, n_ff=N_FF, n_vocab=N_VOCAB)
    )
    values |= {f"{arch}.{name}": value for name, value in _VALUES[arch].items()}
    if arch == "mamba2":
        values = {key: value for key, value in values.items() if "head_count_kv" not in key}
    tensors: dict[str, Dims] = {
        "token_embd.weight": (N_EMBD, N_VOCAB),
        ("token_embd_norm.weight" if arch == "lfm2" else "output_norm.weight"): (N_EMBD,),
    }
    for i_layer in range(n_layer):
        for name, dims in _LAYERS[arch](i_layer).items():
            tensors[f"blk.{i_layer}.{name}"] = dims
    return write_model(path, values, {name: (dims, _type(dims)) for name, dims in tensors.items()})


def _type(dims: Dims) -> int:
    return Q8_0 if len(dims) > 1 and dims[0] % 32 == 0 and dims[1] > _GROUPS else F32
