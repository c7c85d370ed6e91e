"""Owns what `plan` plans: a file, a checkpoint, a model of the catalogue, or metadata in JSON.

A checkpoint, on this disk or on a hub, is planned as the file that converting it would give: its
header is drawn up without weights, types and sizes exact.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from localr1.cli.output import Output
from localr1.errors import UsageError
from localr1.hardware.machine import PlannedMachine
from localr1.model_options import ModelOptions
from localr1.paths import typed_path

if TYPE_CHECKING:
    from localr1.model_facts.card import ModelCard
    from localr1.plan.request import PlanRequest

_DEFAULT_FILE_TYPE = "Q4_K_M"
_MAX_CHARS = 4 * 1024**2


@dataclass(frozen=True, slots=True)
class Subject:
    """A model and how it shall be loaded."""

    card: ModelCard
    request: PlanRequest
    devices: tuple[str, ...] = ()
    """Names of profiles that came with the metadata."""
    notices: tuple[str, ...] = ()
    knows_weights: bool = True
    tokenizer: Path | None = None
    """A GGUF, or a checkpoint's directory, if either is on this disk."""
    published_types: tuple[str, ...] = ()
    """The only types it is published in; empty: it can be had in any."""

    def shown(self, document: dict[str, Any]) -> dict[str, Any]:
        """The JSON of a plan, without weights where nobody said how big they are."""
        if not self.knows_weights:
            for place in (*document["devices"], document["host"]):
                place["weights_bytes"] = None
        return document

    def best_quantised(self, machine: PlannedMachine, least_ctx: int | None = None) -> Subject:
        """The same model in the type that suits a machine, and a context that somebody needs."""
        from localr1.plan.comfort import best_quantised
        from localr1.plan.quantisation import OFFERED_TYPES

        if self.published_types:
            notice = f"as {self.card.quant}: it is published as {', '.join(self.published_types)}"
            return replace(self, notices=(*self.notices, f"{notice} only"))
        request = self.request
        if least_ctx is not None and not isinstance(request.n_ctx, int):
            request = replace(request, n_ctx=least_ctx)
        plan = partial(machine.plan, request=request, with_fixes=False)
        card = best_quantised(self.card, plan)
        notice = f"as {card.quant}: the best for this machine of {', '.join(OFFERED_TYPES)}"
        return replace(self, card=card, notices=(*self.notices, notice))


def read_subject(
    output: Output,
    model: str | None,
    metadata: TextIO | None,
    options: ModelOptions,
    file_type: str | None,
) -> Subject:
    """What the command line asked to be planned.

    Raises: UsageError unless exactly one of both was given; what the file or the JSON deserves.
    """
    if model is not None and metadata is None:
        return _from_model(output, model, options, file_type)
    if model is None and metadata is not None:
        return _from_json(metadata)
    raise UsageError("give either a MODEL or --metadata", hint="see localr1 plan --help")


def _from_model(
    output: Output, model: str, options: ModelOptions, file_type: str | None
) -> Subject:
    from localr1.catalogue.entry import is_name

    path = typed_path(model)
    if path.is_dir() or path.name == "config.json":
        return _from_checkpoint(output, model, options, file_type or _DEFAULT_FILE_TYPE)
    if "/" in model and not path.exists():
        found = _from_repository(output, model, options, file_type)
        if found is not None:
            return found
    if is_name(model) and not path.exists():
        return _from_catalogue(model, options, file_type)
    if file_type is not None:
        raise UsageError(
            "--quant is for a checkpoint that is not converted yet",
            hint=f"to requantise: localr1 convert {model} -q {file_type}",
        )
    return _from_file(output, model, options)


def _from_catalogue(model: str, options: ModelOptions, file_type: str | None) -> Subject:
    from localr1.catalogue.entry import find_entry
    from localr1.catalogue.header import card_of, chosen_type

    entry, quant = find_entry(model)
    card = card_of(entry, chosen_type(entry, file_type or quant))
    notice = (
        f"{entry.name} is {entry.lineage}; planned as {card.quant} from the catalogue, nothing was "
        f"fetched (its checkpoint is {entry.repository})"
    )
    return Subject(
        card, options.plan_request(), notices=(notice,), published_types=entry.file_types
    )


def _from_repository(
    output: Output, model: str, options: ModelOptions, file_type: str | None
) -> Subject | None:
    """What a hub has under that name: GGUFs, else a checkpoint; None if it is the name of none."""
    from localr1.cli.options import is_offline
    from localr1.cli.remote_header import remote_header, split_quant
    from localr1.hub.names import repository_meant
    from localr1.model_facts.card import ModelCard

    name, quant = split_quant(model)
    repository, quant = repository_meant(name), quant or file_type
    if repository is None:
        return None
    found = remote_header(output, repository, quant, is_offline=is_offline())
    if found is None:
        return _from_checkpoint(output, name, options, quant or _DEFAULT_FILE_TYPE)
    notice = f"planned from the header of {found.header.path}; nothing was fetched but that"
    return Subject(
        ModelCard.from_header(found.header),
        options.plan_request(),
        notices=(notice,),
        tokenizer=found.kept,
    )


def _from_checkpoint(output: Output, source: str, options: ModelOptions, file_type: str) -> Subject:
    from localr1.cli.checkpoint_source import checkpoint_source
    from localr1.cli.options import is_offline
    from localr1.cli.progress import ProgressTeller
    from localr1.model_facts.card import ModelCard
    from quant.blueprint import dry_run
    from quant.gguf.header import header_of_bytes

    with checkpoint_source(
        source, output, ProgressTeller(output), is_offline=is_offline(), delete_shards=False
    ) as found:
        target = Path(f"{found.path.name}-{file_type.upper()}.gguf")
        drawn = dry_run(found.path, target, file_type=file_type, store=found.store)
    (file,) = drawn.files
    card = ModelCard.from_header(header_of_bytes(file.header, target, file.n_bytes))
    notice = f"planned as {card.quant}, converted from {source}; nothing was converted"
    return Subject(
        card,
        options.plan_request(),
        notices=(notice, *drawn.notices),
        tokenizer=found.path if found.path.is_dir() else found.path.parent,
    )


def _from_file(output: Output, model: str, options: ModelOptions) -> Subject:
    from localr1.model_facts.card import ModelCard
    from localr1.models import resolve
    from quant.gguf.parts import read_model_header

    path = resolve(model, on_progress=lambda done, all_: output.progress("converting", done, all_))
    header = read_model_header(path, allow_truncated=True)
    if header.missing_bytes:
        output.narrate(f"note: {path} is cut off, {header.missing_bytes} bytes are missing")
    return Subject(ModelCard.from_header(header), options.plan_request(), tokenizer=path)


def _from_json(metadata: TextIO) -> Subject:
    from localr1.metadata.reader import read_metadata
    from localr1.metadata.request import read_request
    from localr1.model_facts.card import ModelCard

    try:
        text = metadata.read(_MAX_CHARS + 1)
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(f"{metadata.name} cannot be read as text: {exc}") from exc
    found = read_metadata(text, metadata.name)
    notices = found.notices
    if not found.knows_weights:
        notices += ("neither file_bytes nor tensor_types say how big the weights are: not counted",)
    return Subject(
        card=ModelCard.from_header(found.header),
        request=read_request(found.request),
        devices=found.devices,
        notices=notices,
        knows_weights=found.knows_weights,
    )
