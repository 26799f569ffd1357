"""What benchmarks make of their measurements."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.figures import Effort, Figure, Plot, Section
from benchmarks.page import filled
from benchmarks.report import table, verdict, write
from benchmarks.timing import Contender, alternate, over, ratio, spread


async def test_contenders_take_turns() -> None:
    """Contenders take turns and are called as often."""
    calls: list[str] = []

    def contender(name: str) -> Contender:
        async def call(argument: str) -> None:
            calls.append(argument)

        return Contender(name, call, lambda: name)

    found = await alternate([contender("a"), contender("b")], rounds=3, calls=100)

    assert calls.count("a") == calls.count("b") == 400  # of which one turn warms up
    assert {name: len(values) for name, values in found.items()} == {"a": 3, "b": 3}


def test_ratios_within_rounds() -> None:
    """Ratios are taken within each round."""
    slow_machine_in_the_second_round = over([3.0, 30.0, 3.0], [1.0, 10.0, 1.0])

    assert ratio(slow_machine_in_the_second_round, [4.0, 40.0, 4.0]) == 0.5
    assert spread(slow_machine_in_the_second_round).median == 2.0


@pytest.mark.parametrize(
    ("value", "at_least", "word"),
    [(1.0, False, "PASS"), (3.0, False, "FAIL"), (1.0, True, "FAIL"), (3.0, True, "PASS")],
)
def test_a_verdict_names_value_and_goal(value: float, at_least: bool, word: str) -> None:
    """A verdict names value and goal."""
    figure = Figure("hits", value, 2.0, at_least=at_least)

    assert verdict(figure) == f"{word} hits: {value:.2f} (goal {'>=' if at_least else '<='} 2.00)"


def test_results_are_written(tmp_path: Path) -> None:
    """Results are written for people and for programs."""
    section = Section("x", "Title", "Method.", ("what", "value"), [("a", 1.234), ("b", "none")], [Figure("a", 1, 2)])

    write([section], tmp_path / "new", "a machine")

    assert table(section).splitlines()[2] == "| a    | 1.23  |"
    data = json.loads((tmp_path / "new" / "results.json").read_text("utf-8"))
    assert data["sections"][0]["figures"][0]["passed"] is True
    assert "## Title" in (tmp_path / "new" / "results.md").read_text("utf-8")


def test_page_takes_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page gets the results of a run in their places."""
    monkeypatch.setattr("benchmarks.report.draw", lambda *_: None)  # matplotlib is for benchmarks alone
    plot = Plot("bars", "Bars", ["a"], {"x": [1.0]}, "us")
    figures = [Figure("speed", 3, 2), Figure("rate", 0.5, 0.4, at_least=True)]
    write([Section("x", "Title", "Method.", ("what",), [("new",)], figures, [plot])], tmp_path, "a machine")
    results = json.loads((tmp_path / "results.json").read_text("utf-8"))
    page = "".join(f"before\n<!-- {name} -->\nold\n<!-- end -->\n" for name in ("machine", "goals", "x"))

    text = filled(page, results)

    assert text == filled(text, results)
    assert "old" not in text
    assert text.count("before") == 3
    assert "a machine" in text
    assert "| speed | at most 2.00  | 3.00     | **not reached** |" in text
    assert "| rate  | at least 0.40 | 0.50     | reached         |" in text
    assert "Method.\n\n| what |\n|------|\n| new  |\n\n![Bars](images/performance/bars.svg)\n" in text
    with pytest.raises(KeyError):
        filled("<!-- other -->\n<!-- end -->", results)


def test_unknown_benchmark(capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown benchmark is refused."""
    with pytest.raises(SystemExit):
        main(["--only", "nothing"])

    assert "there is no nothing" in capsys.readouterr().err


def test_effort_scales_requests() -> None:
    """Effort scales requests."""
    assert Effort(scale=0.5).times(1000) == 500
    assert Effort(scale=0.001).times(1000) == 10
