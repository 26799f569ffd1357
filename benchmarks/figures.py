"""What a benchmark gives back: rows for a table, figures with a goal, and plots; pure values, ready for JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["bars", "lines"]


@dataclass(frozen=True)
class Figure:
    """One number that was promised, and what was measured.

    Args:
        name: what it is, in the words of the table of goals.
        value: what this run measured.
        goal: the limit.
        unit: of both; empty for ratios.
        at_least: whether the value must reach the goal instead of staying below it.
    """

    name: str
    value: float
    goal: float
    unit: str = ""
    at_least: bool = False

    @property
    def passed(self) -> bool:
        """Whether the goal was met."""
        return self.value >= self.goal if self.at_least else self.value <= self.goal


@dataclass(frozen=True)
class Plot:
    """A picture of a section: one group of bars or one line for each series.

    Args:
        name: the file's name without suffix.
        title: what it shows.
        labels: the categories (bars) or the x values (lines).
        series: the y values by name, as many as labels.
        unit: of the y values.
        kind: bars or lines.
        log: whether the y axis is logarithmic.
    """

    name: str
    title: str
    labels: Sequence[str | float]
    series: Mapping[str, Sequence[float]]
    unit: str
    kind: Kind = "bars"
    log: bool = False


@dataclass(frozen=True)
class Section:
    """The result of one benchmark.

    Args:
        name: the word that selects it on the command line.
        title: its heading.
        method: one or two sentences: what was measured and how.
        columns: headings of the table.
        rows: its cells.
        figures: the numbers that have a goal.
        plots: its pictures.
        raw: everything measured, for the JSON file.
    """

    name: str
    title: str
    method: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str | float | int]]
    figures: Sequence[Figure] = ()
    plots: Sequence[Plot] = ()
    raw: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Effort:
    """How long a run may take.

    Args:
        rounds: repetitions of each alternating comparison.
        scale: factor on the number of requests of a round; 1 for the figures, far less to see that it runs.
        quick: leave out what takes minutes (a million entries, several seconds of load).
    """

    rounds: int = 15
    scale: float = 1.0
    quick: bool = False

    def times(self, count: int) -> int:
        """Return ``count`` scaled, at least 10."""
        return max(10, int(count * self.scale))
