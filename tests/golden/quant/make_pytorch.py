"""Makes `tiny.bin` anew: one file of each thing that torch writes into state dictionaries.

Run with an interpreter that has torch: `python tests/golden/quant/make_pytorch.py`. Made with
torch 2.13. It holds the three float types, a parameter, an integer buffer, tied weights, a view
into a larger storage, and the `_metadata` that modules attach.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch


def tiny_state_dict() -> Any:
    """The state dictionary of a small module, with oddities added."""
    module = torch.nn.Module()
    values = torch.arange(12, dtype=torch.float32).reshape(3, 4) / 8
    module.register_parameter("weight", torch.nn.Parameter(values))
    module.register_buffer("ids", torch.arange(5))
    state = module.state_dict()
    state["half"] = values.half()
    state["brain"] = values.bfloat16()
    state["tied"] = state["weight"]
    state["parameter"] = torch.nn.Parameter(values[:1] + 1)
    state["view"] = values[1:]
    return state


if __name__ == "__main__":
    torch.save(tiny_state_dict(), Path(__file__).parent / "tiny.bin")
