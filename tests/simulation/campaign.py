"""Many seeds in several processes, added up."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Self

from .judge import PROMISES
from .setups import SETUPS, SITUATIONS
from .visit import Verdict, play

__all__ = ["Row", "calm", "played"]

EXAMPLES = 3
MANY = 200
"""Visits after which a process ends, and with it what is left of them."""


@dataclass
class Row:
    """What became of many seeds."""

    name: str
    requests: int = 0
    faults: int = 0
    seconds: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    extra: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    def add(self, verdict: Verdict) -> None:
        """Add one seed."""
        self.requests += verdict.requests
        self.faults += verdict.faults
        self.counts.update(verdict.counts)
        self.extra.update(verdict.extra)
        for promise, texts in verdict.texts.items():
            if len(self.examples) < EXAMPLES:
                self.examples.append(f"seed {verdict.seed}: {promise}: {texts[0]}")

    def __iadd__(self, other: Self) -> Self:
        self.requests += other.requests
        self.faults += other.faults
        self.seconds += other.seconds
        self.counts.update(other.counts)
        self.extra.update(other.extra)
        return self

    def sentence(self) -> str:
        """Return it in words."""
        found = ", ".join(f"{self.counts[promise]} {promise}" for promise in PROMISES if self.counts[promise])
        speed = self.requests / self.seconds if self.seconds else 0.0
        return f"{self.requests:,} requests, {self.faults:,} faults, {found or '0 violations'} ({speed:,.0f} a second)"


def quietly(seed: int, steps: int, setup: str, situation: str) -> Verdict:
    """Play one seed; what is logged on the way is of no interest."""
    logging.disable(logging.CRITICAL)
    return play(seed, steps, SETUPS[setup], SITUATIONS[situation], name=situation)


def calm() -> None:
    """Let the collector look at what a visit has made once, at its end, and never at what is older."""
    gc.collect()
    gc.freeze()
    gc.disable()


def played(
    setup: str, situations: Sequence[str], seeds: Sequence[int], steps: int, jobs: int | None = None
) -> Iterator[tuple[str, Row]]:
    """Play seeds of each situation on one set-up, in several processes."""
    with multiprocessing.Pool(jobs, calm, maxtasksperchild=MANY) as pool:
        for situation in situations:
            row, began = Row(situation), time.monotonic()
            one = partial(quietly, steps=steps, setup=setup, situation=situation)
            for verdict in pool.imap_unordered(one, seeds):
                row.add(verdict)
            row.seconds = time.monotonic() - began
            yield situation, row
