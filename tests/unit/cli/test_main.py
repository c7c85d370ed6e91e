from __future__ import annotations

import os
import signal

import pytest

from localr1.cli.interrupts import terminable
from localr1.cli.main import run


def test_being_told_to_terminate_is_ctrl_c_for_a_while() -> None:
    before = signal.getsignal(signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt), terminable():
        os.kill(os.getpid(), signal.SIGTERM)

    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["convert"], "see localr1 convert --help"),
        (["verify", "m.gguf"], "see localr1 verify --help"),
        (["nonsense"], "see localr1 --help"),
    ],
)
def test_a_wrong_command_line_names_the_help_of_its_verb(
    argv: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(argv) == 2

    assert told in capsys.readouterr().err
