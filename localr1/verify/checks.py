"""Owns the checks of one conversion, in the order in which the converter calls for them."""

from __future__ import annotations

from collections.abc import Callable

from localr1.errors import LocalR1Error
from localr1.verify.after import OnProgress, check_result
from localr1.verify.before import check_tokenizer, require_same
from localr1.verify.fidelity import Fidelity
from localr1.verify.frames import TokenizerReport
from localr1.verify.stamp import reserved_keys
from quant.blueprint import Blueprint, Source
from quant.gguf.key_values import KeyValues


class ConversionChecks:
    """What is checked before and after; remembers the blueprint in between."""

    def __init__(
        self,
        *,
        verifies: bool,
        accepts_differences: bool,
        notify: Callable[[str], None],
        n_threads: int | None,
    ) -> None:
        self._accepts_differences = accepts_differences
        self._notify = notify
        self._n_threads = n_threads
        self.notes = reserved_keys() if verifies else KeyValues()
        """Metadata to be written for what is measured afterwards."""
        self.tokenizer: TokenizerReport | None = None

    def before_writing(self, source: Source, plan: Blueprint) -> None:
        """Check the tokenizer. Raises: TokenizerDiffersError, EngineError."""
        self._source, self._plan = source, plan
        try:
            self.tokenizer = check_tokenizer(source, plan)
            require_same(self.tokenizer)
        except LocalR1Error as exc:
            if not self._accepts_differences:
                raise
            self._notify(f"{exc.message}; went on because of --force")

    def after_writing(self, on_progress: OnProgress) -> Fidelity:
        """Check the result, which `before_writing` has seen coming. Raises: OutputDamagedError."""
        return check_result(self._source, self._plan, on_progress, n_threads=self._n_threads)
