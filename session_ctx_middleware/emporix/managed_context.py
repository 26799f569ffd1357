"""Any session context of a tenant, by session id: for jobs and back offices."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Unpack

from ..checks import is_visible
from ..errors import ConfigurationError, ContextNotFound, TokenRejected
from ..model.document import ContextDocument
from .address import segment
from .answers import Answer, document_of, require_success
from .attributes import attribute_body, attribute_segment
from .client import ClientOptions, PlatformClient
from .service_token import REFUSED_PAUSE, ServiceToken

__all__ = ["ManagedContextClient"]


class ManagedContextClient(PlatformClient):
    """Reads and changes session contexts by session id, with a service token.

    A refused service token (401) is dropped, and the call repeated once with a new one: nothing was applied. Where the
    new one is refused as well, further calls do without that for three seconds.

    Args:
        tenant: the name of the tenant.
        service_token: with the scope ``sessioncontext.context_manage``; it is not closed here.
        options: see `ClientOptions`.

    Raises:
        ConfigurationError: one of them cannot work.
    """

    def __init__(
        self,
        tenant: str,
        *,
        service_token: ServiceToken,
        **options: Unpack[ClientOptions],
    ) -> None:
        super().__init__(tenant, **options)
        self._service_token = _checked(service_token, self.tenant)
        self._refused_until = -math.inf

    async def get(self, session_id: str) -> ContextDocument:
        """Return the context of a session.

        Args:
            session_id: the session.

        Raises:
            ContextNotFound: the session has none, or there cannot be such a session.
            TokenRejected: Emporix refuses the service token, also a new one.
            ConfigurationError: the client credentials lack the scope.
            TooManyRequests: Emporix asks to wait (429).
            MalformedAnswer: not a context, or larger than 256 KiB.
            EmporixFailed: a server error, a redirect, or any other status.
            EmporixUnreachable: no answer came.
        """
        path = self._path("managed.get", session_id)
        return document_of("managed.get", await self._call("managed.get", "GET", path))

    async def put(
        self,
        session_id: str,
        document: ContextDocument | Mapping[str, object],
        *,
        upsert: bool = False,
        saas_token: str | None = None,
    ) -> None:
        """Replace the context of a session.

        Args:
            session_id: the session.
            document: the whole context with its current version; a mapping uses the names of Emporix.
            upsert: create the context where there is none.
            saas_token: the customer's, which Emporix wants where the session belongs to a logged-in customer.

        Raises:
            ContextNotFound: no context, or not in this version; only another `get` can tell the two apart.
            VersionConflict: the version is not the current one.
            ChangeRefused: Emporix does not accept the change.
            InvalidChange: `document` has no JSON form.
            EmporixError: as for `get`.
        """
        path = self._path("managed.put", session_id)
        answer = await self._call(
            "managed.put",
            "PUT",
            path,
            json=document.to_wire() if isinstance(document, ContextDocument) else document,
            params={"upsert": "true"} if upsert else None,
            headers=_saas(saas_token),
        )
        require_success("managed.put", answer)

    async def add_attribute(self, session_id: str, key: str, value: str | Mapping[str, object]) -> None:
        """Set one custom attribute, whatever the version of the context; its version rises.

        Args:
            session_id: the session.
            key: 1 to 64 printable characters.
            value: a string or an object.

        Raises:
            InvalidChange: not such a key or value.
            EmporixError: as for `put`.
        """
        body = attribute_body(key, value)
        path = f"{self._path('managed.attribute_add', session_id)}/attributes"
        require_success("managed.attribute_add", await self._call("managed.attribute_add", "POST", path, json=body))

    async def remove_attribute(self, session_id: str, key: str) -> None:
        """Remove one custom attribute, whatever the version of the context; its version rises.

        Args:
            session_id: the session.
            key: the name of the attribute.

        Raises:
            ContextNotFound: no context, or no such attribute in it.
            InvalidChange: no path can name the key.
            EmporixError: as for `put`.
        """
        path = f"{self._path('managed.attribute_remove', session_id)}/attributes/{attribute_segment(key)}"
        require_success("managed.attribute_remove", await self._call("managed.attribute_remove", "DELETE", path))

    async def _call(
        self,
        operation: str,
        method: str,
        path: str,
        *,
        json: object = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        token = await self._service_token.value()
        answer = await self._send(operation, method, path, token=token, json=json, params=params, headers=headers)
        if answer.status != 401 or self._clock.monotonic() < self._refused_until:
            return answer
        self._service_token.drop(token)
        token = await self._service_token.value()
        answer = await self._send(operation, method, path, token=token, json=json, params=params, headers=headers)
        if answer.status == 401:
            self._refused_until = self._clock.monotonic() + REFUSED_PAUSE
        return answer

    async def _send(self, operation: str, method: str, path: str, **options: Any) -> Answer:
        # The session's id is in the address.
        return await self._http.call(operation, method, path, confidential=True, **options)

    def _path(self, operation: str, session_id: str) -> str:
        try:
            return f"/session-context/{self.tenant}/context/{segment(session_id)}"
        except ValueError:
            pass
        raise ContextNotFound(operation, None, "this cannot be a session id")


def _checked(service_token: object, tenant: str) -> ServiceToken:
    if not isinstance(service_token, ServiceToken):
        raise ConfigurationError("service_token must be a ServiceToken(tenant, client_id=..., client_secret=...).")
    if service_token.tenant != tenant:
        raise ConfigurationError("service_token is for another tenant than this client.")
    return service_token


def _saas(token: str | None) -> dict[str, str]:
    if token is None:
        return {}
    if not is_visible(token):
        raise TokenRejected("managed.put", None, "the saas token cannot be sent in a header")
    return {"saas-token": token}
