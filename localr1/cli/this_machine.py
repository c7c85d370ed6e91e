"""Owns what the verb `plan` finds out about this machine: devices, memory, and how fast it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from backends.rpc import RpcServer, what_leaves
from localr1.cli.output import Output
from localr1.errors import EngineStartError
from localr1.hardware.machine import PlannedMachine
from localr1.units import format_bytes

if TYPE_CHECKING:
    from localr1.model_facts.card import ModelCard
    from localr1.worker.host import Engine

_WORTH_MEASURING = 0.02  # of the bytes of a model; norms and the like are less


def find_this_machine(
    output: Output,
    card: ModelCard | None = None,
    *,
    rpc_servers: Sequence[RpcServer] = (),
    calibrates: bool = False,
) -> PlannedMachine:
    """What the engine finds; nothing but the processor if it does not come up.

    With `calibrates` it is first measured how fast the types of weights of `card` are read.
    Raises: EngineStartError if it cannot be measured without the engine; as `measure`.
    """
    from backends.machine import Machine, usable_memory
    from localr1.calibration.here import known_here
    from localr1.plan.host_memory import read_host_memory
    from localr1.worker.host import Engine

    try:
        engine = Engine.start(rpc_servers)
    except EngineStartError as exc:
        if calibrates:
            raise
        output.narrate(f"note: planned for the processor only; {exc.message}")
        return PlannedMachine(devices=(), host=read_host_memory(), known={})
    try:
        if calibrates and card is not None:
            _calibrate(output, engine, card)
        info = engine.info
    finally:
        engine.close()
    known = known_here(info.devices, info.llama_cpp_python, measures=True)
    notices = []
    if any(device.rate is not None and device.rate.is_rough for device in known.values()):
        notices.append(
            "how fast the processor is was guessed from copying memory; "
            "localr1 plan MODEL --calibrate measures it"
        )
    container_bytes = usable_memory(Machine()).container_bytes
    if container_bytes is not None:
        notices.append(f"the container limits memory to {format_bytes(container_bytes)}")
    if rpc_servers:
        notices.append(f"once it is loaded, {what_leaves(rpc_servers)}")
    return PlannedMachine(
        devices=info.devices, host=read_host_memory(), known=known, notices=tuple(notices)
    )


def _calibrate(output: Output, engine: Engine, card: ModelCard) -> None:
    from localr1.calibration.measure import measure
    from quant.gguf.types import TensorType

    n_bytes: Counter[str] = Counter()
    for tensor in card.tensors:
        n_bytes[tensor.type_name] += tensor.n_bytes
    least = _WORTH_MEASURING * n_bytes.total()
    names = [
        name
        for name, size in n_bytes.most_common()
        if size > least and name in TensorType.__members__
    ]
    if not names:
        output.narrate("note: nothing to measure, the types of the weights are not known")
        return
    output.narrate(f"measuring {', '.join(names)} ...", style="dim")
    measured = measure(engine, names)
    for name in names:
        slow, fast = (1e-9 / prices.of(name).byte_s for prices in measured.rate().ends)
        output.detail(f"{name}: {slow:.1f} to {fast:.1f} GB/s")
