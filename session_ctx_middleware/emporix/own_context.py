"""The session context of the shopper whose token it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Unpack

from ..model.document import ContextDocument
from .answers import document_of, require_success
from .attributes import attribute_body, attribute_segment
from .client import ClientOptions, PlatformClient

__all__ = ["OwnContextClient"]


class OwnContextClient(PlatformClient):
    """Reads and changes the session context of a shopper, with the shopper's own token.

    Args:
        tenant: the name of the tenant.
        options: see `ClientOptions`.

    Raises:
        ConfigurationError: one of them cannot work.
    """

    def __init__(
        self,
        tenant: str,
        **options: Unpack[ClientOptions],
    ) -> None:
        super().__init__(tenant, **options)
        self._path = f"/session-context/{self.tenant}/me/context"

    async def get(self, token: str) -> ContextDocument:
        """Return the context of the token's session.

        Args:
            token: the shopper's token, anonymous or of a customer.

        Raises:
            ContextNotFound: the session has none; carries the session id where Emporix tells it.
            TokenRejected: Emporix refuses the token, or it cannot be sent.
            TooManyRequests: Emporix asks to wait (429).
            MalformedAnswer: not a context, or larger than 256 KiB.
            EmporixFailed: a server error, a redirect, or any other status.
            EmporixUnreachable: no answer came.
        """
        answer = await self._http.call("context.get", "GET", self._path, token=token)
        return document_of("context.get", answer)

    async def patch(self, token: str, body: Mapping[str, object]) -> None:
        """Change fields of the context of the token's session.

        Args:
            token: the shopper's token.
            body: the fields under the names of Emporix, with ``metadata.version``; ``context`` is replaced whole.

        Raises:
            ContextNotFound: no context, or not in this version; only another `get` can tell the two apart.
            VersionConflict: the version is not the current one.
            ChangeRefused: Emporix does not accept the change.
            InvalidChange: `body` has no JSON form.
            EmporixError: as for `get`.
        """
        answer = await self._http.call("context.patch", "PATCH", self._path, token=token, json=body)
        require_success("context.patch", answer)

    async def add_attribute(self, token: str, key: str, value: str | Mapping[str, object]) -> None:
        """Set one custom attribute, whatever the version of the context; its version rises.

        Args:
            token: the shopper's token.
            key: 1 to 64 printable characters.
            value: a string or an object.

        Raises:
            InvalidChange: not such a key or value.
            EmporixError: as for `patch`.
        """
        body = attribute_body(key, value)
        path = f"{self._path}/attributes"
        answer = await self._http.call("context.attribute_add", "POST", path, token=token, json=body)
        require_success("context.attribute_add", answer)

    async def remove_attribute(self, token: str, key: str) -> None:
        """Remove one custom attribute, whatever the version of the context; its version rises.

        Args:
            token: the shopper's token.
            key: the name of the attribute.

        Raises:
            ContextNotFound: no context, or no such attribute in it.
            InvalidChange: no path can name the key.
            EmporixError: as for `patch`.
        """
        path = f"{self._path}/attributes/{attribute_segment(key)}"
        answer = await self._http.call("context.attribute_remove", "DELETE", path, token=token)
        require_success("context.attribute_remove", answer)
