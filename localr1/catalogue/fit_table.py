"""Owns the comparison of models as a table for people: lines of plain text."""

from __future__ import annotations

from collections.abc import Sequence

from localr1.catalogue.fit import Fit
from localr1.plan.explain import rate
from localr1.plan.memory_plan import Verdict
from localr1.terminal_text import safe_line
from localr1.units import format_bytes, format_count

_HEADING = ("MODEL", "SIZE", "TYPE", "FILE", "LONGEST CONTEXT", "TOKENS/S", "")
_LEFT = frozenset({0, 2, 6})
"""Columns of words; numbers stand to the right."""


def lines(fits: Sequence[Fit]) -> list[str]:
    """One line for each model that fits, and one paragraph of those that do not."""
    fitting = [fit for fit in fits if fit.plan.verdict is not Verdict.DOES_NOT_FIT]
    text = _table([_HEADING, *map(_row, fitting)]) if fitting else []
    others = [safe_line(fit.candidate.name) for fit in fits if fit not in fitting]
    return [*text, *(["", f"too big: {', '.join(others)}"] if others else [])]


def _row(fit: Fit) -> tuple[str, ...]:
    plan = fit.plan
    return (
        safe_line(fit.candidate.name),
        format_count(plan.card.n_params),
        plan.card.quant,
        format_bytes(plan.card.file_bytes),
        str(plan.max_ctx),
        rate(plan.speed.decode_tokens_per_s) if plan.speed else "unknown",
        _verdict(fit) + (", slow" if fit.is_slow else ""),
    )


def _verdict(fit: Fit) -> str:
    plan = fit.plan
    if plan.verdict is Verdict.FITS:
        return "fits"
    n_experts, n_layers = plan.expert_layers_on_host, plan.card.n_layer + 1
    if plan.n_gpu_layers == n_layers:
        return f"experts of {n_experts} layers on the processor"
    return f"{plan.n_gpu_layers} of {n_layers} layers on the GPU"


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if i in _LEFT else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
