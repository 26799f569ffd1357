"""Puts what ``make bench`` has found into ``docs/performance.md``: ``python -m benchmarks.page``.

The page says where with ``<!-- hit_path -->`` and ``<!-- end -->`` around the table and pictures of a section, and
``<!-- machine -->`` and ``<!-- goals -->`` around what the numbers depend on and which of them were promised.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from .figures import Figure, Section
from .report import goals, table

__all__ = ["filled"]

ROOT: Final = Path(__file__).parent.parent
PLACE: Final = re.compile(r"(<!-- (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
PICTURES: Final = "images/performance"


def filled(page: str, results: Mapping[str, Any]) -> str:
    """Return a page with the results of a run in their places.

    Args:
        page: Markdown with places.
        results: as `report.write` has written them.

    Raises:
        KeyError: there is a place for something that was not measured.
    """
    texts = {"machine": str(results["machine"]), "goals": goals(_figures(results))}
    for section in results["sections"]:
        known = Section(*(section[name] for name in ("name", "title", "method", "columns", "rows")))
        pictures = [f"![{plot['title']}]({PICTURES}/{plot['name']}.svg)" for plot in section["plots"]]
        texts[known.name] = "\n\n".join([known.method, table(known), *pictures])
    return PLACE.sub(lambda place: f"{place[1]}\n{texts[place[2]]}\n\n{place[3]}", page)


def _figures(results: Mapping[str, Any]) -> list[Figure]:
    figures = (figure for section in results["sections"] for figure in section["figures"])
    return [Figure(**{name: value for name, value in each.items() if name != "passed"}) for each in figures]


def main(measured: Path = ROOT / "build/bench", docs: Path = ROOT / "docs") -> None:
    """Fill the page, and copy the pictures that it shows."""
    page = docs / "performance.md"
    text = filled(page.read_text("utf-8"), json.loads((measured / "results.json").read_text("utf-8")))
    page.write_text(text, "utf-8")
    (docs / PICTURES).mkdir(parents=True, exist_ok=True)
    for name in re.findall(rf"\({PICTURES}/([\w-]+\.svg)\)", text):
        shutil.copyfile(measured / name, docs / PICTURES / name)


if __name__ == "__main__":
    main()
