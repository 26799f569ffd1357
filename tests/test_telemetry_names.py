"""The names of spans, metrics and attributes: the docs and the dashboard have those of the code, and all of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from session_ctx_middleware import ContextEvent
from session_ctx_middleware.emporix.http import ERRORS
from session_ctx_middleware.emporix.routes import ROUTES
from session_ctx_middleware.remedies import KINDS
from session_ctx_middleware.telemetry import ATTRIBUTES, COMMITTED

from .support.telemetry import Recorder
from .test_docs_tables import bare, table

PAGE = "docs/observability.md"
DASHBOARD = json.loads((Path(__file__).parent.parent / "docs" / "grafana" / "session-context.json").read_text("utf-8"))
SPANS = {"emporix.session_context.load", "emporix.session_context.commit"}
OF_PROMETHEUS = {"job", "le"}
RESULTS = ("hit", "stale", "miss", "missing", "rejected", "degraded")
COMPONENTS = ("emporix", "breaker", "store")


@pytest.fixture(scope="module")
def units() -> Iterator[dict[str, tuple[str, str]]]:
    """What every metric is measured in, and what kind it is, as the SDK has it."""
    recorder = Recorder()
    made = recorder.telemetry
    made.heard(ContextEvent(name="context.loaded", cache="hit"))
    lookups = recorder.metrics["emporix.session_context.cache.lookups"]
    assert lookups.data.is_monotonic
    instruments: list[Any] = [made._events, made._loads, made._commits, made._calls]
    found = {each.name: (each.unit, type(each).__name__.strip("_").lower()) for each in instruments}
    yield {lookups.name: (lookups.unit, "counter"), **found}
    recorder.close()


def named(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_metrics(units: dict[str, tuple[str, str]]) -> None:
    """The table of metrics has all of them, with their units and attributes."""
    rows = {bare(row[0]): (bare(row[1]), named(row[2])) for row in table(PAGE, "metric")}

    assert {name: attributes for name, (_, attributes) in rows.items()} == {
        name: list(attributes) for name, attributes in ATTRIBUTES.items() if name not in SPANS
    }
    assert {name: rows[name][0] for name in units} == {name: unit for name, (unit, _) in units.items()}
    assert set(rows) - set(units) == {"emporix.session_context.healthy"}  # asserted where it is measured


def test_spans() -> None:
    """The table of spans has all of them, with their attributes."""
    rows = {bare(row[0]): named(row[2]) for row in table(PAGE, "span")}

    assert {name: rows[name] for name in SPANS} == {name: list(ATTRIBUTES[name]) for name in SPANS}
    assert len(rows) == len(SPANS) + 1


def test_attributes() -> None:
    """The table of attributes has all of them, and the values of those that have few."""
    rows = {bare(row[0]): named(row[1]) for row in table(PAGE, "attribute")}

    assert set(rows) == {each for attributes in ATTRIBUTES.values() for each in attributes}
    assert tuple(rows["emporix.session_context.cache.result"]) == RESULTS
    assert {f"commit.{each}" for each in rows["emporix.session_context.commit.result"]} == COMMITTED
    assert tuple(rows["emporix.session_context.component"]) == COMPONENTS
    assert set(rows["emporix.session_context.operation"]) < set(ROUTES)
    assert set(rows["error.type"]) == {*ERRORS.values(), "_OTHER"}


def in_prometheus(units: dict[str, tuple[str, str]]) -> dict[str, set[str]]:
    """Return the names of metrics, and the labels of each, as OpenTelemetry's rules for Prometheus make them."""
    every = {**units, "emporix.session_context.healthy": ("{component}", "gauge")}
    found: dict[str, set[str]] = {}
    for name, (unit, kind) in every.items():
        endings = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_count", "_sum"]}[kind]
        base = name.replace(".", "_") + ("_seconds" if unit == "s" else "")
        labels = {each.replace(".", "_") for each in ATTRIBUTES[name]} | OF_PROMETHEUS
        found |= {base + ending: labels for ending in endings}
    return found


def targets() -> Iterator[tuple[str, str]]:
    """Yield the query and the legend of everything that the dashboard shows."""
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            yield target["expr"], target["legendFormat"]


def test_queries(units: dict[str, tuple[str, str]]) -> None:
    """Each query asks for a metric that there is, by labels that it has; each metric is shown."""
    known, shown = in_prometheus(units), set()
    for query, legend in targets():
        metrics = re.findall(r"(\w+)\{", query)
        grouped = [name.strip() for group in re.findall(r"by \(([^)]*)\)", query) for name in group.split(",")]
        labels = {*re.findall(r"(\w+)(?:=~|!=|=|!~)\"", query), *grouped, *re.findall(r"\{\{(\w+)\}\}", legend)}

        assert metrics
        for metric in metrics:
            assert labels <= known[metric], query
        shown |= set(metrics)
    assert {_family(name) for name in shown} == {_family(name) for name in known}


def _family(name: str) -> str:
    return re.sub(r"_(bucket|count|sum)$", "", name)


def test_values() -> None:
    """What queries select are values that there are."""
    text = "\n".join(query for query, _ in targets())
    events = re.findall(r'event_name=~"([^"]*)"', text)
    results = re.findall(r'cache_result=~"([^"]*)"', text)

    assert events
    assert {name for each in events for name in each.replace("\\\\.", ".").split("|")} <= set(KINDS)
    assert results
    assert {name for each in results for name in each.split("|")} <= set(RESULTS)


def test_the_dashboard_can_be_imported() -> None:
    """It asks for the data source when it is imported, no panel names one, and none covers another."""
    variables = {each["name"]: each for each in DASHBOARD["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    cells: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        assert {json.dumps(each["datasource"]) for each in (panel, *panel["targets"])} == {
            json.dumps({"type": "prometheus", "uid": "${datasource}"})
        }
        place = panel["gridPos"]
        mine = {(place["x"] + right, place["y"] + down) for right in range(place["w"]) for down in range(place["h"])}
        assert not cells & mine
        assert max(right for right, _ in mine) < 24
        cells |= mine
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    assert "id" not in DASHBOARD  # Grafana would look for a dashboard of that number
