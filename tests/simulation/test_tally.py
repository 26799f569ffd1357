"""The tally: a campaign that was cut off counts, and goes on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import pytest

from . import tally
from .campaign import Row
from .visit import Verdict


def test_a_campaign_goes_on_where_it_was_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A campaign goes on where it was cut off: no seed is played twice, and nothing that was found is lost."""
    seeds_played: list[int] = []

    def play_nothing(_: str, situations: Sequence[str], seeds: Sequence[int], *__: object) -> Iterator[tuple[str, Row]]:
        seeds_played.extend(seeds)
        for name in situations:
            row = Row(name)
            for seed in seeds:
                row.add(Verdict(seed, name, requests=10))
                row.counts["lost"] += seed == 2
                row.examples += ["seed 2: lost: everything"] * (seed == 2)
            yield name, row

    monkeypatch.setattr(tally, "played", play_nothing)

    def play(chunks: int) -> Row:
        kept = tally.Tally(tmp_path / "new" / "tally.json")
        steps = kept.played("one process", ["overlap", "logins"], range(6), 60, jobs=1, chunk=2)
        return list(islice(steps, chunks + 1))[-1]

    assert play(2).requests == 80
    assert play(9).requests == 120
    assert play(9).requests == 120
    assert seeds_played == [0, 1, 2, 3, 4, 5]
    assert play(9).counts["lost"] == 2
    assert play(9).examples == ["overlap, seed 2: lost: everything", "logins, seed 2: lost: everything"]
