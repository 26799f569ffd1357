"""What the shop takes from its environment."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from session_ctx_middleware import ContextDefaults

__all__ = ["FAKE_URL", "REAL_URL", "Settings"]

FAKE_URL: Final = "http://127.0.0.1:8900"
REAL_URL: Final = "https://api.emporix.io"
USUAL: Final = ContextDefaults(site_code="main", currency="EUR", language="en", target_location="DE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where the platform is, and what the shop shows to somebody who has not chosen yet.

    Args:
        tenant: the Emporix tenant.
        client_id: the client id of the tenant's storefront API key; it is no secret.
        base_url: the platform's address.
        defaults: used until Emporix or the shopper says otherwise, and to begin anonymous sessions with.
        is_watched: whether the debug panel shows, to browsers on this machine, what each page has cost.
        secret_key: seals the session cookie, and signs what browsers carry; made up at each start unless it is given.
    """

    tenant: str = "acme"
    client_id: str = "storefront"
    base_url: str = FAKE_URL
    defaults: ContextDefaults = USUAL
    is_watched: bool = False
    secret_key: str = field(default_factory=lambda: secrets.token_hex(32), repr=False, compare=False)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read ``EMPORIX_TENANT`` and ``EMPORIX_CLIENT_ID`` (both or neither), ``EMPORIX_BASE_URL``, ``SHOP_...``.

        ``SHOP_DEBUG_PANEL=1`` switches the panel on. ``SHOP_SECRET_KEY``, 32 characters or more, has to be the same for
        all workers of a shop.

        Raises:
            ValueError: one of the two is set without the other.
        """
        tenant, client_id = environment.get("EMPORIX_TENANT"), environment.get("EMPORIX_CLIENT_ID")
        if bool(tenant) != bool(client_id):
            raise ValueError(
                "Set both EMPORIX_TENANT and EMPORIX_CLIENT_ID to use your tenant, or neither to use FakeEmporix."
            )
        base_url = environment.get("EMPORIX_BASE_URL")
        more: dict[str, Any] = {"is_watched": environment.get("SHOP_DEBUG_PANEL") == "1"}
        if environment.get("SHOP_SECRET_KEY"):
            more["secret_key"] = environment["SHOP_SECRET_KEY"]
        if tenant and client_id:
            more |= {"tenant": tenant, "client_id": client_id}
        usual = REAL_URL if tenant else FAKE_URL
        return cls(base_url=base_url or usual, defaults=_defaults(environment), **more)


def _defaults(environment: Mapping[str, str]) -> ContextDefaults:
    """Let ``SHOP_SITE_CODE``, ``SHOP_CURRENCY``, ``SHOP_LANGUAGE`` and ``SHOP_TARGET_LOCATION`` change the defaults."""
    usual = asdict(USUAL)
    return ContextDefaults(**{name: environment.get(f"SHOP_{name.upper()}") or usual[name] for name in usual})
