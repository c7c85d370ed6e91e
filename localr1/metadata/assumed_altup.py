"""Owns the tensors that Gemma 3n has beside those of Gemma 3: three more streams, rows per layer.

Source: `load_arch_tensors` in src/models/gemma3n.cpp of llama.cpp at the pinned version, and the
widths that src/llama-hparams.h gives them, for the files do not say.
"""

from __future__ import annotations

from collections.abc import Mapping

from localr1.metadata.assumed_tensors import Dims, Sizes

_N_STREAMS = 4  # n_altup
_RANK = 64  # laurel_rank
_ROW = 256  # n_embd_altup: what a token's row in the big table has for each layer


def altup_model_tensors(sizes: Sizes, n_layer: int) -> Mapping[str, Dims]:
    """What belongs to no layer."""
    streams = (sizes.n_embd, sizes.n_embd, _N_STREAMS - 1)
    return {
        "altup_proj.weight": streams,
        "altup_unembd_proj.weight": streams,
        "per_layer_token_embd.weight": (_ROW * n_layer, sizes.n_vocab),
        "per_layer_model_proj.weight": (sizes.n_embd, _ROW * n_layer),
        "per_layer_proj_norm.weight": (_ROW,),
    }


def altup_layer_tensors(sizes: Sizes) -> Mapping[str, Dims]:
    """The further tensors of a layer by their names within it."""
    vector = (sizes.n_embd,)
    return {
        "inp_gate.weight": (sizes.n_embd, _ROW),
        "proj.weight": (_ROW, sizes.n_embd),
        "post_norm.weight": vector,
        "altup_correct_coef.weight": (_N_STREAMS, _N_STREAMS),
        "altup_correct_scale.weight": vector,
        "altup_predict_coef.weight": (_N_STREAMS, _N_STREAMS * _N_STREAMS),
        "altup_router.weight": (sizes.n_embd, _N_STREAMS),
        "altup_router_norm.weight": vector,
        "laurel_l.weight": (sizes.n_embd, _RANK),
        "laurel_r.weight": (_RANK, sizes.n_embd),
        "laurel_post_norm.weight": vector,
    }
