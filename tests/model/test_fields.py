"""The table of fields and everything with a place for each of them."""

from __future__ import annotations

import inspect
from dataclasses import fields
from typing import Any

import pytest

from session_ctx_middleware import ContextDefaults, ContextDocument, SessionContext, UnknownField
from session_ctx_middleware.model.changes import NO_CHANGES
from session_ctx_middleware.model.fields import FIELDS, READ_ONLY, SWITCHES, Kind
from session_ctx_middleware.model.view import NOTHING_KNOWN, source

OF_ITS_OWN = {"version", "created_at", "modified_at", "attributes", "extra", "receipts"}
"""What a document has besides: the metadata, the attributes, our receipts, and what nobody knows."""


class Recorder(SessionContext):
    """A context that keeps what it records."""

    def __init__(self) -> None:
        self.recorded: dict[str, object] = {}

    def _record(self, path: str, value: object) -> None:
        self.recorded[path] = value


def keywords(function: Any) -> set[str]:
    kinds = inspect.signature(function).parameters.values()
    return {each.name for each in kinds if each.kind is inspect.Parameter.KEYWORD_ONLY}


def test_every_field_has_one_line() -> None:
    """Every field has one line in the table."""
    assert len({field.name for field in FIELDS}) == len({field.wire for field in FIELDS}) == len(FIELDS)
    assert {*SWITCHES, *READ_ONLY} == {field.name for field in FIELDS}


def test_documents_have_the_fields() -> None:
    """Documents and defaults have the fields of the table."""
    assert {each.name for each in fields(ContextDocument)} == {*SWITCHES, *READ_ONLY, *OF_ITS_OWN}
    assert {each.name for each in fields(ContextDefaults)} == {*SWITCHES, "language_attribute"}


def test_a_context_shows_every_field() -> None:
    """A context shows every field."""
    for field in FIELDS:
        assert isinstance(inspect.getattr_static(SessionContext, field.name), property)


def test_switch_takes_every_switch() -> None:
    """`switch` takes every field that can be switched."""
    assert keywords(SessionContext.switch) == set(SWITCHES)
    assert keywords(SessionContext.switch_site) == {*SWITCHES} - {"site_code"}


@pytest.mark.parametrize("name", SWITCHES)
def test_switch_records_its_own_name(name: str) -> None:
    """`switch` records a value under the name it came by."""
    value = {"site_code": "main", "currency": "EUR", "language": "de", "target_location": "DE"}[name]
    context = Recorder()

    context.switch(**{name: value})

    assert context.recorded == {name: value}


def test_switch_site_hands_on() -> None:
    """`switch_site` hands every keyword on."""
    context = Recorder()

    context.switch_site("main", currency="EUR", language="de", target_location="DE")

    assert context.recorded == {"site_code": "main", "currency": "EUR", "language": "de", "target_location": "DE"}


def test_switches_say_what_they_hold() -> None:
    """Every switch says what it holds."""
    for field in FIELDS:
        assert bool(field.pattern) == bool(field.wanted) == (field.kind is Kind.SWITCH)


def test_sources_know_every_field() -> None:
    """A source can be told of every field."""
    for name in (*SWITCHES, *READ_ONLY, "version"):
        assert source(name, NO_CHANGES, NOTHING_KNOWN, ContextDefaults()) == "unset"
    with pytest.raises(UnknownField, match=r"site_code, currency, .* cart_id, customer_id, session_id, version"):
        source("colour", NO_CHANGES, NOTHING_KNOWN, ContextDefaults())
