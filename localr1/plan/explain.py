"""Owns a plan in words and bars: lines of text for people, free of colour and cursor movement."""

from __future__ import annotations

from collections.abc import Sequence

from localr1.plan.compare import Comparison
from localr1.plan.device_plan import DevicePlan, Stage
from localr1.plan.memory_plan import MemoryPlan, Speed, Verdict
from localr1.plan.rate import Range
from localr1.terminal_text import safe_line
from localr1.units import MIB, format_bytes, format_count

_BAR_WIDTH = 40
_STAGES = {
    Stage.WEIGHTS: "the weights alone are too big",
    Stage.KV: "the weights fit, the KV cache does not",
    Stage.COMPUTE: "weights and KV cache fit, the compute buffer does not",
    Stage.FIRST_RUN: "it would load and fail at the first prompt",
}
_WORTH_A_REMARK = 0.05


def lines(plan: MemoryPlan) -> list[str]:
    """The whole plan: model, request, a bar and a table per device, verdict, speed, what helps."""
    text = [*_heading(plan), ""]
    for place in plan.places:
        text += [*_place_lines(place, plan), ""]
    text += [f"{safe_line(gpu.name)} stays idle" for gpu in plan.idle]
    text.append(_verdict(plan))
    text += [] if plan.speed is None else _speed(plan.speed, plan.verdict)
    width = max((len(fix.change) for fix in plan.fixes), default=0)
    fails = plan.verdict is Verdict.DOES_NOT_FIT
    lacking = "not enough alone" if fails else "still not all on the GPU"
    for fix in plan.fixes:
        enough = "" if fix.is_enough else f" ({lacking})"
        saved = format_bytes(fix.saves_bytes)
        text.append(f"  {fix.change:<{max(width, 20)}} saves {saved:>8}, costs {fix.costs}{enough}")
    text += [f"note: {notice}" for notice in plan.notices]
    return text


def comparison_lines(comparisons: Sequence[Comparison]) -> list[str]:
    """Predicted beside measured, one line per buffer."""
    rows = [("MEMORY", "DEVICE", "PLANNED", "MEASURED", "")]
    for item in comparisons:
        is_off = abs(item.difference) > _WORTH_A_REMARK
        way = "much" if item.difference > 0 else "little"
        remark = f"planned {abs(item.difference):.0%} too {way}" if is_off else "as planned"
        planned, measured = format_bytes(item.predicted_bytes), format_bytes(item.measured_bytes)
        rows.append((item.purpose, safe_line(item.device), planned, measured, remark))
    return [f"{a:<9} {b:<8} {c:>9} {d:>9}  {e}".rstrip() for a, b, c, d, e in rows]


def _heading(plan: MemoryPlan) -> list[str]:
    card, request = plan.card, plan.request
    size = f"{format_count(card.n_params)} parameters, {card.quant}"
    types = dict.fromkeys((request.type_k, request.type_v))
    kv = f"KV {', '.join(types)} at {format_bytes(plan.kv_bytes_per_token)} per token"
    context = f"context {plan.n_ctx} of {card.n_ctx_train} tokens"
    return [
        f"{safe_line(card.name)}: {size}, file {format_bytes(card.file_bytes)}",
        f"{context}, {kv}, flash attention {request.flash_attn}",
    ]


def _place_lines(place: DevicePlan, plan: MemoryPlan) -> list[str]:
    parts = (
        ("█", "weights", place.weights_bytes - place.unused_bytes),
        ("▓", "KV cache", place.kv_bytes + place.recurrent_bytes),
        ("▒", "compute", place.compute_bytes + place.output_bytes),
        ("░", "others", place.overhead_bytes[1]),
    )
    used = f"{format_bytes(place.need_bytes)} of {format_bytes(place.limit_bytes)} free"
    name_width = max(8, *(len(other.name) for other in plan.places))
    name = safe_line(place.name).ljust(name_width)
    text = [f"{name} {_bar(place, parts)}  {used}{_layers(place, plan)}"]
    for glyph, label, n_bytes in parts[:-1]:
        text.append(f"  {glyph} {label:<9} {format_bytes(n_bytes)}")
    who = "system and process" if place is plan.host else "driver and desktop"
    lowest, highest = (format_bytes(n_bytes) for n_bytes in place.overhead_bytes)
    text.append(f"  ░ {who}, {lowest} to {highest}")
    if place.unused_bytes:
        text.append(f"    and {format_bytes(place.unused_bytes)} of the file mapped, not needed")
    return text


def _bar(place: DevicePlan, parts: Sequence[tuple[str, str, int]]) -> str:
    """One cell per share of the larger of limit and need; every part that is there shows."""
    full_bytes = max(place.limit_bytes, place.need_bytes, 1)
    bar = "".join(
        glyph * max(round(_BAR_WIDTH * n_bytes / full_bytes), 1)
        for glyph, _, n_bytes in parts
        if n_bytes
    )
    bar = bar[:_BAR_WIDTH].ljust(_BAR_WIDTH, "·")
    if place.margin_bytes >= 0:
        return bar
    limit = round(_BAR_WIDTH * place.limit_bytes / full_bytes)
    return f"{bar[:limit]}|{bar[limit:]}"


def _layers(place: DevicePlan, plan: MemoryPlan) -> str:
    if not plan.devices or place.layers is None:
        return ""
    first, last = place.layers
    n_experts = place.expert_layers_on_host
    experts = f", without the experts of {n_experts}" if n_experts else ""
    return f", layers {first} to {last}{experts}"


def _verdict(plan: MemoryPlan) -> str:
    if plan.verdict is Verdict.DOES_NOT_FIT:
        stage = _STAGES[plan.failing_stage or Stage.FIRST_RUN]
        why = refusal(plan) or f"{stage}, {format_bytes(-plan.margin_bytes)} short"
        context = f"; {plan.max_ctx} tokens of context would fit" if plan.max_ctx else ""
        return f"does not fit: {why}{context}"
    spare = format_bytes(plan.margin_bytes)
    longest = f"longest context that fits: {plan.max_ctx} tokens"
    if plan.n_ctx > plan.max_ctx:
        longest = f"but it was trained on {plan.card.n_ctx_train} tokens only"
    if plan.verdict is Verdict.FITS:
        return f"fits, {spare} to spare; {longest}"
    every_layer, n_experts = plan.card.n_layer + 1, plan.expert_layers_on_host
    on_gpu = f"{plan.n_gpu_layers} of {every_layer} layers on the GPU"
    rest = f"the experts of {n_experts} layers" if n_experts else "the rest"
    return (
        f"fits with {on_gpu}, {rest} on the processor, which is slower; {spare} to spare; {longest}"
    )


def refusal(plan: MemoryPlan) -> str | None:
    """What a driver would refuse although there is room for it; None if it gives everything."""
    for place in plan.places if plan.margin_bytes >= 0 else ():
        piece = place.too_large
        if piece is not None and place.max_alloc_bytes is not None:
            what = f"{safe_line(piece.what)} needs {piece.n_bytes / MIB:.0f} MiB in one piece"
            most = f"{place.max_alloc_bytes / MIB:.0f} MiB at most"
            return f"{what}, the driver of {safe_line(place.name)} gives {most}"
    return None


def _speed(speed: Speed, verdict: Verdict) -> list[str]:
    what = "with enough memory" if verdict is Verdict.DOES_NOT_FIT else "estimated speed"
    answer = f"{what}: {rate(speed.decode_tokens_per_s)} tokens/s"
    full = f"{rate(speed.full_decode_tokens_per_s)} with a full context"
    text = [f"{answer}, {full}; bound by {speed.bound_by}"]
    if speed.prefill_tokens_per_s is not None:
        text.append(f"  prompts are read at {rate(speed.prefill_tokens_per_s)} tokens/s")
    return text


def rate(tokens_per_s: Range) -> str:
    """Tokens per second for people: `31 to 41`."""
    lowest, highest = (f"{value:.1f}" if value < 9.95 else f"{value:.0f}" for value in tokens_per_s)
    return lowest if lowest == highest else f"{lowest} to {highest}"
