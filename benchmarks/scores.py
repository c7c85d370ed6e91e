"""Owns predictions beside printed sizes: errors, one vote per source page, and their table."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.published_loads import Load


@dataclass(frozen=True, slots=True)
class Score:
    """One prediction against what was printed."""

    load: Load
    planned_mib: float
    printed_mib: float

    @property
    def error(self) -> float:
        """Signed, as a part of what was printed."""
        return self.planned_mib / self.printed_mib - 1


def summary(scores: Sequence[Score]) -> dict[str, float]:
    """Median and 90th percentile over the pages, and the worst loads."""
    votes = sorted(_votes(scores))
    if not votes:
        return {"loads": 0, "pages": 0}
    return {
        "loads": len(scores),
        "pages": len(votes),
        "median": round(statistics.median(votes), 5),
        "p90": round(votes[min(int(0.9 * len(votes)), len(votes) - 1)], 5),
        "worst_over": round(max(0.0, *(score.error for score in scores)), 5),
        "worst_under": round(min(0.0, *(score.error for score in scores)), 5),
    }


def table(named: Mapping[str, Sequence[Score]]) -> str:
    """One row for each name."""
    lines = [f"{'':28} loads pages   median      p90     over    under"]
    for name, scores in named.items():
        row = summary(scores)
        if row["loads"]:
            figures = "".join(
                f"{row[key]:>9.2%}" for key in ("median", "p90", "worst_over", "worst_under")
            )
            lines.append(f"{name:28} {row['loads']:>5} {row['pages']:>5}{figures}")
    return "\n".join(lines) + "\n"


def each(named: Mapping[str, Sequence[Score]]) -> str:
    """Every prediction, the worst of each kind first."""
    lines = []
    for name, scores in named.items():
        for score in sorted(scores, key=lambda score: -abs(score.error)):
            load = score.load
            lines.append(
                f"{name:22} {load.id:8} b{load.build or '?':<5} {load.text('arch'):10} "
                f"{load.text('offloaded'):7} {score.planned_mib:10.2f} "
                f"{score.printed_mib:10.2f} {score.error:+8.2%}"
            )
    return "\n".join(lines)


def _votes(scores: Sequence[Score]) -> list[float]:
    """One absolute error per source page: the median of its loads."""
    by_page: defaultdict[str, list[float]] = defaultdict(list)
    for score in scores:
        by_page[score.load.page].append(abs(score.error))
    return [statistics.median(errors) for errors in by_page.values()]
