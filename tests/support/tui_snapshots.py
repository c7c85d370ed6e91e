"""Screens as text files that a person can read in review: the characters, then the styles.

`LOCALR1_UPDATE_SNAPSHOTS=1` draws them anew; it refuses on another minor version of Textual than
the one that drew them, because then every difference would be Textual's.
"""

from __future__ import annotations

import os
from itertools import groupby
from pathlib import Path

import textual
from rich.style import Style
from textual.app import App
from textual.strip import Strip

_VERSION = ".".join(textual.__version__.split(".")[:2])
_RULE = "-" * 40


def draw(app: App[int]) -> str:
    """The screen as a snapshot: rows, a rule, runs of styles per row, what the styles are."""
    strips = app.screen._compositor.render_strips()
    letters: dict[str, str] = {}
    runs = [f"{y:>3} {_runs(strip, letters)}" for y, strip in enumerate(strips)]
    legend = [f"{letter:>3} {name}" for name, letter in letters.items()]
    header = f"{app.size.width}x{app.size.height}, textual {_VERSION}"
    rows = [strip.text.rstrip() for strip in strips]
    return "\n".join([header, _RULE, *rows, _RULE, *runs, _RULE, *legend]) + "\n"


def check(app: App[int], golden: Path) -> None:
    """Compare the screen with the golden file, or draw that anew if the environment says so."""
    actual = draw(app)
    if os.environ.get("LOCALR1_UPDATE_SNAPSHOTS") == "1":
        _refuse_other_version(golden)
        golden.write_text(actual, encoding="utf-8")
        return
    assert golden.exists(), f"no snapshot {golden.name}; draw it with make snapshots"
    expected = golden.read_text(encoding="utf-8")
    assert actual.split("\n")[1:] == expected.split("\n")[1:]


def _refuse_other_version(golden: Path) -> None:
    if not golden.exists():
        return
    drawn_with = golden.read_text(encoding="utf-8").split("\n", 1)[0].rpartition(" ")[2]
    assert drawn_with == _VERSION, (
        f"{golden.name} was drawn with textual {drawn_with}, installed is {_VERSION}: "
        f"delete tests/snapshots/*.txt if every screen should be drawn anew"
    )


def _runs(strip: Strip, letters: dict[str, str]) -> str:
    """`a3 b12 a65`: which style, over how many cells."""
    named = ((_name(segment.style), segment.cell_length) for segment in strip)
    runs = []
    for name, group in groupby(named, key=lambda run: run[0]):
        letter = letters.setdefault(name, _letter(len(letters)))
        runs.append(f"{letter}{sum(n_cells for _, n_cells in group)}")
    return " ".join(runs)


def _letter(index: int) -> str:
    prefix = _letter(index // 26 - 1) if index >= 26 else ""
    return prefix + chr(ord("a") + index % 26)


def _name(style: Style | None) -> str:
    if style is None:
        return "none"
    return str(style.without_color + Style(color=style.color, bgcolor=style.bgcolor))
