"""Turns sections into JSON, Markdown and pictures."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .figures import Figure, Plot, Section
from .timing import short

CONTENDERS = (
    "session-ctx-middleware",
    "starlette",
    "starsessions",
    "starlette-context",
    "cachetools",
    "cashews",
    "aiocache",
    "async-lru",
    "hishel",
    "httpx",
    "httpx2",
    "aiohttp",
    "redis",
    "uvicorn",
)


def machine() -> str:
    """Return what the numbers depend on: processor, Python, and the versions of everybody compared."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{_processor()}, {platform.system()}, {python}; " + ", ".join(_versions())


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(models)} x {models[0]}" if models else platform.processor() or platform.machine()


def _versions() -> list[str]:
    found = []
    for name in CONTENDERS:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return found


def verdict(figure: Figure) -> str:
    """Return one line: whether a figure reached its goal."""
    sign = ">=" if figure.at_least else "<="
    unit = f" {figure.unit}" if figure.unit else ""
    word = "PASS" if figure.passed else "FAIL"
    return f"{word} {figure.name}: {short(figure.value)}{unit} (goal {sign} {short(figure.goal)}{unit})"


def goals(figures: Sequence[Figure]) -> str:
    """Return a table of what was promised and what was measured."""
    rows = []
    for figure in figures:
        limit = f"{'at least' if figure.at_least else 'at most'} {short(figure.goal)} {figure.unit}".strip()
        value = f"{short(figure.value)} {figure.unit}".strip()
        rows.append((figure.name, limit, value, "reached" if figure.passed else "**not reached**"))
    return table(Section("goals", "", "", ("what", "goal", "measured", ""), rows))


def table(section: Section) -> str:
    """Return the rows of a section as a table of Markdown that can be read as it is."""
    cells = [[str(each) for each in section.columns], *([_cell(each) for each in row] for row in section.rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(section.columns))]
    lines = ["| " + " | ".join(_padded(row, widths)) + " |" for row in cells]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def _cell(value: str | float) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if value == int(value) else short(value)


def _padded(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [value.ljust(width) for value, width in zip(row, widths, strict=True)]


def write(sections: Sequence[Section], directory: Path, line: str) -> None:
    """Write ``results.json``, ``results.md`` and one picture for each plot.

    Args:
        sections: what was measured.
        directory: where to; it is made where it is missing.
        line: what the numbers depend on.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for section in sections:
        for plot in section.plots:
            draw(plot, directory / f"{plot.name}.svg")
    (directory / "results.json").write_text(json.dumps(_data(sections, line), indent=1) + "\n", "utf-8")
    (directory / "results.md").write_text(_markdown(sections, line), "utf-8")


def _data(sections: Sequence[Section], line: str) -> dict[str, Any]:
    found = []
    for section in sections:
        data = asdict(section)
        data["figures"] = [{**asdict(figure), "passed": figure.passed} for figure in section.figures]
        found.append(data)
    return {"machine": line, "sections": found}


def _markdown(sections: Sequence[Section], line: str) -> str:
    parts = ["# Performance", line]
    figures = [figure for section in sections for figure in section.figures]
    if figures:
        parts.append("\n".join(f"* {verdict(figure)}" for figure in figures))
    for section in sections:
        parts += [f"## {section.title}", section.method, table(section)]
        parts += [f"![{plot.title}]({plot.name}.svg)" for plot in section.plots]
    return "\n\n".join(parts) + "\n"


def draw(plot: Plot, path: Path) -> None:
    """Draw a plot; the same numbers make the same file."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams.update({"svg.hashsalt": "benchmarks", "svg.fonttype": "none", "font.size": 9})
    from matplotlib.figure import Figure as Picture

    bars = plot.kind == "bars"
    picture = Picture(figsize=(6.4, max(2.0, 0.6 + 0.3 * len(plot.labels) * len(plot.series)) if bars else 3.2))
    axes = picture.add_subplot()
    if bars:
        _bars(axes, plot)
    else:
        for name, values in plot.series.items():
            axes.plot(plot.labels, values, marker="o", markersize=3, label=name)
        axes.set_ylabel(plot.unit)
        if plot.log:
            axes.set_yscale("log")
    axes.set_title(plot.title, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    if len(plot.series) > 1:
        axes.legend(frameon=False)
    picture.savefig(path, bbox_inches="tight", metadata={"Date": None, "Creator": None})


def _bars(axes: Any, plot: Plot) -> None:
    """Draw lying bars, the first label on top: their names are long."""
    height = 0.8 / len(plot.series)
    for number, (name, values) in enumerate(plot.series.items()):
        places = [place + number * height for place in range(len(values))]
        drawn = axes.barh(places, values, height * 0.9, label=name)
        axes.bar_label(drawn, [short(value) for value in values], padding=3)
    middle = (len(plot.series) - 1) * height / 2
    axes.set_yticks([place + middle for place in range(len(plot.labels))], [str(label) for label in plot.labels])
    axes.invert_yaxis()
    axes.set_xlabel(plot.unit)
    axes.margins(x=0.12)
    if plot.log:
        axes.set_xscale("log")
