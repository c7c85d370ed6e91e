"""Draws docs/screenshot.svg anew: the real interface, the real embedded model, two questions.

    .venv/bin/python -m scripts.draw_screenshot

Textual's SVG asks a server for fonts; that part is taken out, so that no reader's browser does.
"""

from __future__ import annotations

import re
from pathlib import Path

from localr1.launch import conversation_with
from localr1.model_options import ModelOptions
from localr1.models import DEMO
from tests.support.tui_pilot import Driver, drive

_TARGET = Path(__file__).parents[1] / "docs" / "screenshot.svg"
_QUESTIONS = ("What is 12 + 8 * 3?", "Sort these numbers: 41, 7, 23")
_FONT_FACE = re.compile(r"@font-face\s*{[^}]*}")
_FONTS = "ui-monospace, Menlo, Consolas, DejaVu Sans Mono, monospace"


def main() -> None:
    """Ask, wait, draw."""
    drive(conversation_with(DEMO, ModelOptions(sampling={"temperature": 0})), _draw, (120, 22))


async def _draw(driver: Driver) -> None:
    for question in _QUESTIONS:
        await driver.until_idle()
        await driver.send(question)
    await driver.until_idle()
    svg = _FONT_FACE.sub("", driver.app.export_screenshot(title="localr1 demo"))
    svg = svg.replace("Fira Code", _FONTS.partition(",")[0])
    _TARGET.write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
