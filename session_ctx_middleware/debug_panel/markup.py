"""HTML that cannot be broken out of: whatever is put into an element is text, unless an element has made it."""

from __future__ import annotations

from html import escape
from typing import Final

__all__ = ["Html", "element", "joined"]

VOID: Final = frozenset({"meta"})


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def element(name: str, /, *children: str, **attributes: str | bool) -> Html:
    """Return an element.

    Args:
        name: of the element.
        children: elements, or text.
        attributes: values by name; one underscore at the end is left out, one inside is a hyphen. What is `True` has no
            value, what is `False` or empty is left out.
    """
    parts = [_attribute(key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items() if value]
    start = f"<{name}{''.join(parts)}>"
    return Html(start) if name in VOID else Html(f"{start}{joined(*children)}</{name}>")


def joined(*children: str) -> Html:
    """Return elements and text, one after the other."""
    return Html("".join(each if isinstance(each, Html) else escape(each) for each in children))


def _attribute(name: str, value: str | bool) -> str:  # noqa: FBT001 - the value of an attribute
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'
