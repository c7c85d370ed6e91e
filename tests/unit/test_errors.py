from __future__ import annotations

import importlib
from pathlib import Path

import pytest

import localr1.errors
from backends.errors import BackendError
from localr1.errors import (
    EXIT_CODE_OF,
    ContextOverflowError,
    LocalR1Error,
    ModelNotFoundError,
    UsageError,
)
from quant.errors import QuantError

_README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def _leaves(base: type[Exception]) -> list[type[Exception]]:
    importlib.import_module("localr1.errors")
    return [leaf for child in base.__subclasses__() for leaf in [child, *_leaves(child)]]


@pytest.mark.parametrize("base", [LocalR1Error, QuantError, BackendError])
def test_every_error_has_an_exit_code_for_its_event_code(base: type[Exception]) -> None:
    classes = [cls for cls in _leaves(base) if cls.__module__.endswith(".errors")]

    assert classes
    for cls in classes:
        assert EXIT_CODE_OF[cls.code] == cls.exit_code  # type: ignore[attr-defined] # all have both


def test_exit_codes_are_documented() -> None:
    codes = {
        value
        for name, value in vars(localr1.errors).items()
        if name.startswith("EXIT_") and name != "EXIT_CODE_OF"
    }

    for code in codes:
        assert f"| {code} |" in _README


def test_context_overflow_says_how_much_is_needed() -> None:
    error = ContextOverflowError(n_prompt=5000, n_ctx=4096)

    assert str(error) == "the conversation is 5000 tokens long, the context holds 4096"
    assert "--ctx 6144" in error.hint


def test_not_found_is_also_a_file_not_found_error() -> None:
    error = ModelNotFoundError("there is no model x")

    assert isinstance(error, FileNotFoundError)
    assert str(error) == "there is no model x"


def test_usage_error_keeps_its_hint() -> None:
    assert UsageError("a", hint="b").hint == "b"
