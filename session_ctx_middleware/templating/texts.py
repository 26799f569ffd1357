"""The texts of a shop in the session's language (gettext)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from gettext import NullTranslations
from typing import TYPE_CHECKING, Any, Final

from ..errors import ConfigurationError
from .filters import context_of, environment_of

if TYPE_CHECKING:
    from jinja2 import Environment
    from jinja2.runtime import Context
    from starlette.templating import Jinja2Templates

__all__ = ["install_texts"]

EXTENSION: Final = "jinja2.ext.i18n"


def install_texts(templates: Jinja2Templates | Environment, translations: Mapping[str, NullTranslations]) -> None:
    """Let ``{{ _("...") }}`` and ``{% trans %}`` write the language of the session.

    Args:
        templates: Starlette's templates, or an environment of Jinja whose templates are rendered with ``session_ctx``.
        translations: by language tag, as ``gettext.translation`` or Babel's ``Translations.load`` return them. For a
            language that is not there its parent is taken: ``de`` for ``de-CH``; else texts stay as they are written.

    Raises:
        ConfigurationError: these are no translations.
    """
    catalogues = {}
    for tag, catalogue in translations.items():
        if not isinstance(catalogue, NullTranslations):
            raise ConfigurationError("translations must be gettext's or Babel's, by language tag.")
        catalogues[tag.replace("_", "-").lower()] = catalogue
    environment = environment_of(templates)
    environment.add_extension(EXTENSION)
    functions = {name: _translating(name, catalogues) for name in ("gettext", "ngettext", "pgettext", "npgettext")}
    install: Any = environment.install_gettext_callables  # type: ignore[attr-defined]
    install(**functions, newstyle=True)


def _translating(name: str, catalogues: Mapping[str, NullTranslations]) -> Callable[..., str]:
    from jinja2 import pass_context

    @pass_context
    def translated(context: Context, *args: Any) -> str:
        found = (catalogues[tag] for tag in _tags(context_of(context).language) if tag in catalogues)
        text: str = getattr(next(found, _AS_WRITTEN), name)(*args)
        return text

    return translated


_AS_WRITTEN: Final = NullTranslations()


def _tags(language: str | None) -> Iterator[str]:
    """Yield a tag and what is left of it, part by part (RFC 4647, section 3.4)."""
    parts = (language or "").replace("_", "-").lower().split("-")
    while parts:
        yield "-".join(parts)
        parts.pop()
