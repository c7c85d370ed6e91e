"""Owns the comparison of many models on one machine: the best type of each, and who comes first.

Pure. A model that writes more slowly than people read is of little use, whatever its size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from backends.errors import UnsupportedParametersError
from localr1.catalogue.entry import Entry
from localr1.catalogue.header import card_of, embedding_params
from localr1.hardware.machine import PlannedMachine
from localr1.model_facts.card import ModelCard
from localr1.plan.comfort import READING_TOKENS_PER_S, is_comfortable, is_slow
from localr1.plan.hardware import HOST, Hardware, choose_hardware
from localr1.plan.memory_plan import MemoryPlan, Verdict
from localr1.plan.quantisation import OFFERED_TYPES
from localr1.plan.rate import Rate
from localr1.plan.request import PlanRequest
from quant.gguf.types import FileType

_ORDER = (Verdict.FITS, Verdict.FITS_WITH_OFFLOAD, Verdict.DOES_NOT_FIT)
_LEAST_BITS = {"Q8_0": 8.5, "Q6_K": 6.5625, "Q5_K_M": 5.5, "Q4_K_M": 4.5, "IQ4_XS": 4.25}
"""Bits per weight of the smallest type in a mix, norms aside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One model in one type; its card is drawn up when it is asked for."""

    least_bytes: float
    """What has to lie in one kind of memory, at least, for the model to fit whole."""
    least_read_bytes: float
    """What each token reads, at least."""
    card: Callable[[], ModelCard]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A model that might run here."""

    name: str
    """In the catalogue, or the path of a file."""
    versions: Sequence[Version]
    """Most exact first."""
    entry: Entry | None = None
    """None for a file."""

    @property
    def shape(self) -> Hashable:
        """Equal for models that differ in their weights only, as fine-tuned ones do."""
        entry = self.entry
        if entry is None:
            return self.name
        return (
            entry.architecture,
            entry.is_tied,
            entry.file_types,
            tuple(sorted(entry.keys.items())),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """A model in its best type on a machine."""

    candidate: Candidate
    plan: MemoryPlan

    @property
    def is_slow(self) -> bool:
        """Whether it writes more slowly than people read; no, where the speed is not known."""
        return is_slow(self.plan)

    def of(self, candidate: Candidate) -> Fit:
        """The same plan for a model of the same shape."""
        card = replace(self.plan.card, name=candidate.name)
        return Fit(candidate=candidate, plan=replace(self.plan, card=card))

    def to_json(self) -> dict[str, Any]:
        """One row of `fit --json`, in the words of a plan."""
        plan, entry = self.plan, self.candidate.entry
        document = plan.to_json()
        return {
            "name": self.candidate.name,
            "repository": entry.repository if entry else None,
            "lineage": entry.lineage if entry else None,
            "licence": entry.licence if entry else None,
            **{key: document["model"][key] for key in ("n_params", "quant", "file_bytes")},
            "verdict": document["verdict"],
            "failing_stage": document["failing_stage"],
            "margin_bytes": plan.margin_bytes,
            "n_ctx": plan.n_ctx,
            "max_ctx": plan.max_ctx,
            "n_gpu_layers": plan.n_gpu_layers,
            "n_host_experts": plan.split.n_host_experts,
            "speed": document["speed"],
            "is_slow": self.is_slow,
        }


def of_catalogue(entries: Iterable[Entry]) -> Iterator[Candidate]:
    """Every model in the types that `convert` offers, or in those it is published in."""
    for entry in entries:
        names = entry.file_types or OFFERED_TYPES
        versions = [_version(entry, name) for name in names]
        yield Candidate(name=entry.name, versions=versions, entry=entry)


def of_card(name: str, card: ModelCard) -> Candidate:
    """A file: it is what it is."""
    return Candidate(
        name=name, versions=[Version(least_bytes=0, least_read_bytes=0, card=lambda: card)]
    )


@dataclass(frozen=True, slots=True)
class Ranking:
    """All models, the most useful first."""

    fits: Sequence[Fit]
    refused: Sequence[str]
    """Why some models cannot be loaded as asked, in sentences."""


def rank(candidates: Iterable[Candidate], request: PlanRequest, machine: PlannedMachine) -> Ranking:
    """Each model in its best type.

    What fits whole comes before what fits with help of the processor, before what does not fit;
    among these the larger model, but those slower than reading after the others.
    Raises: DeviceNotFoundError if the request names a device that is not there.
    """
    fits: list[Fit] = []
    refused: list[str] = []
    first_alike: dict[object, Fit] = {}
    for candidate in candidates:
        alike = first_alike.get(candidate.shape)
        try:
            fit = _best(candidate, request, machine) if alike is None else alike.of(candidate)
            first_alike[candidate.shape] = fit
            fits.append(fit)
        except UnsupportedParametersError as exc:
            refused.append(f"left out: {candidate.name}; {exc.message}")
    return Ranking(sorted(fits, key=_usefulness), refused)


def _usefulness(fit: Fit) -> tuple[int, bool, int, str]:
    card, verdict = fit.plan.card, fit.plan.verdict
    return _ORDER.index(verdict), fit.is_slow, -card.n_params, fit.candidate.name


def _best(candidate: Candidate, request: PlanRequest, machine: PlannedMachine) -> Fit:
    """The most exact type that is comfortable; else the smallest, which is the fastest."""
    *others, smallest = candidate.versions
    hardware = choose_hardware(machine.devices, machine.host, machine.known, request.device)
    for version in others:
        if _may_be_comfortable(version, hardware):
            fit = _planned(candidate, version, request, machine)
            if is_comfortable(fit.plan):
                return fit
    return _planned(candidate, smallest, request, machine)


def _may_be_comfortable(version: Version, hardware: Hardware) -> bool:
    """False where that is plain without a plan: too big, or too much to read."""
    room_bytes = sum(gpu.free_bytes for gpu in hardware.gpus) or hardware.host.available_bytes
    names = [gpu.name for gpu in hardware.gpus] or [HOST]
    rates = [hardware.of(name).rate for name in names]
    most_bytes_per_s = max(math.inf if rate is None else _fastest(rate) for rate in rates)
    return (
        version.least_bytes < room_bytes
        and version.least_read_bytes * READING_TOKENS_PER_S < most_bytes_per_s
    )


def _fastest(rate: Rate) -> float:
    """Bytes per second in the middle of the range, of what is read fastest."""
    names = ["", *rate.fast.types]
    return max(sum(1 / end.of(name).byte_s for end in rate.ends) / 2 for name in names)


def _planned(
    candidate: Candidate, version: Version, request: PlanRequest, machine: PlannedMachine
) -> Fit:
    plan = machine.plan(version.card(), request, with_fixes=False)
    return Fit(candidate=candidate, plan=plan)


def _version(entry: Entry, name: str) -> Version:
    # a GPU leaves the token embedding to the host, unless it is the output as well
    n_params = entry.n_params - (0 if entry.is_tied else embedding_params(entry))
    least_bytes = n_params * _LEAST_BITS.get(name, 0) / 8
    has_experts = "expert_count" in entry.keys
    return Version(
        least_bytes=least_bytes,
        least_read_bytes=0 if has_experts else least_bytes,
        card=lambda: card_of(entry, FileType[name]),
    )
