"""Long campaigns in small steps, written down after each of them, so that one that is cut off counts."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from .campaign import Row, played

__all__ = ["Tally"]


class Tally:
    """What every set-up has come to, in a file.

    Args:
        path: of the file; delete it to begin anew, after a change of the code for instance.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._setups: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.exists() else {}

    def played(
        self, setup: str, situations: Sequence[str], seeds: Sequence[int], steps: int, *, jobs: int | None, chunk: int
    ) -> Iterator[Row]:
        """Play the seeds that have not been played, so many of each situation at a time.

        Yields:
            All that has been played on this set-up so far, whenever there is more of it.
        """
        total, done = self._so_far(setup)
        left = [seed for seed in seeds if seed >= done]
        yield total
        for first in range(0, len(left), chunk):
            some = left[first : first + chunk]
            for situation, row in played(setup, situations, some, steps, jobs):
                total += row
                total.examples += [f"{situation}, {text}" for text in row.examples]
            self._setups[setup] = {"next": some[-1] + 1, **vars(total)}
            self._write()
            yield total

    def _so_far(self, setup: str) -> tuple[Row, int]:
        known = dict(self._setups.get(setup, {}))
        done = known.pop("next", 0)
        row = Row(setup, **{name: value for name, value in known.items() if name != "name"})
        row.counts, row.extra = Counter(row.counts), Counter(row.extra)
        return row, done

    def _write(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_suffix(".new")
        fresh.write_text(json.dumps(self._setups, indent=1))
        fresh.replace(self._path)
