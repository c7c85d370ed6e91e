"""Owns the check before any weight is written: the GGUF must encode text as it should.

It needs only the header that is about to be written, so a difference costs seconds and no hour.
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

from localr1.errors import TokenizerDiffersError
from localr1.verify.frames import TokenizerReport
from localr1.verify.verifier import Verifier
from quant.blueprint import Blueprint, Source
from quant.gguf.writer import encode_header
from quant.output.target import explained
from quant.source.gguf import GgufModel
from quant.vocabulary.pretokenizer import cuts_at_marks

_SHOWN_TEXT = 60
_SHOWN_IDS = 12


def check_tokenizer(source: Source, plan: Blueprint) -> TokenizerReport:
    """Encode 2,000 texts as the output of `plan` would, and as the checkpoint's tokenizer does.

    A GGUF as source brings no other tokenizer than its own.
    Raises: EngineError if the child that does it fails, DiskFullError.
    """
    if isinstance(source, GgufModel):
        return TokenizerReport(reader="", skipped="the source is a GGUF itself")
    temporary = Path(tempfile.gettempdir())
    with contextlib.ExitStack() as stack:
        with explained(temporary):
            directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="localr1-"))
            vocabulary = Path(directory) / "vocabulary.gguf"
            vocabulary.write_bytes(encode_header(plan.key_values, []))
        # a notice tells what is passed over, see Blueprint.notices
        return stack.enter_context(Verifier()).compare_tokenizers(
            vocabulary, source.directory, with_marks=not cuts_at_marks(plan.key_values)
        )


def require_same(report: TokenizerReport) -> None:
    """Raises: TokenizerDiffersError if any text was encoded otherwise."""
    if report.n_different:
        raise TokenizerDiffersError(
            f"the GGUF would encode {report.n_different:,} of {report.n_texts:,} texts otherwise "
            f"than the checkpoint: {report.text[:_SHOWN_TEXT]!r} as {_shown(report.in_gguf)}, "
            f"not {_shown(report.in_checkpoint)}",
            hint="nothing was written; --force converts all the same",
        )


def _shown(ids: tuple[int, ...]) -> str:
    more = ", ..." if len(ids) > _SHOWN_IDS else ""
    return f"[{', '.join(map(str, ids[:_SHOWN_IDS]))}{more}]"
