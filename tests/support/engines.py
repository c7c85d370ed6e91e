"""Short hands for tests that talk to a real engine."""

from __future__ import annotations

from backends.parameters import EngineParameters
from localr1.worker.frames import (
    GenerateRequest,
    GenerationEnd,
    GenerationFrame,
    LoadReport,
    Sampling,
    Segment,
    TokenPiece,
)
from localr1.worker.host import Engine


def load(engine: Engine, parameters: EngineParameters) -> LoadReport:
    """Load to the end and return the report."""
    progress = engine.load(parameters)
    while True:
        try:
            next(progress)
        except StopIteration as done:
            report: LoadReport = done.value
            return report


def greedy(text: str, max_tokens: int | None = 16) -> GenerateRequest:
    """A request whose reply is the same every time."""
    return GenerateRequest(
        segments=(Segment(text, parse_special=True),),
        sampling=Sampling(temperature=0),
        max_tokens=max_tokens,
    )


def ids(frames: list[GenerationFrame]) -> list[int]:
    """The tokens of a reply."""
    return [frame.id for frame in frames if isinstance(frame, TokenPiece)]


def end(frames: list[GenerationFrame]) -> GenerationEnd:
    """The end of a reply."""
    assert isinstance(frames[-1], GenerationEnd)
    return frames[-1]
