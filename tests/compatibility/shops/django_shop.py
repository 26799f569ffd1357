"""The shop in Django, with Channels for what Django has not: WebSockets."""

from __future__ import annotations

import django
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.urls import path

from session_ctx_middleware import SessionContextMiddleware, get_session_context

from .common import MIDDLEWARE, chunks, open_gate, shown, switched

settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="of no use here", MIDDLEWARE=[])
django.setup()


async def page(request: HttpRequest) -> HttpResponseBase:
    return JsonResponse(await shown(get_session_context(request)))


async def switch(request: HttpRequest) -> HttpResponseBase:
    get_session_context(request).switch_currency(request.GET["currency"])
    return HttpResponse("done")


async def stream(request: HttpRequest) -> HttpResponseBase:
    get_session_context(request).switch_currency(request.GET["currency"])
    return StreamingHttpResponse(chunks(request.GET["gate"]))


async def open_(request: HttpRequest) -> HttpResponseBase:
    open_gate(request.GET["gate"])
    return HttpResponse("open")


class Socket(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        context = await get_session_context(self)
        await self.accept()
        await self.send(str(context.currency))

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.send(await switched(get_session_context(self), text_data or ""))
        await self.close()


urlpatterns = [path("page", page), path("switch", switch), path("stream", stream), path("open", open_)]
app = SessionContextMiddleware(
    ProtocolTypeRouter({"http": get_asgi_application(), "websocket": URLRouter([path("socket", Socket.as_asgi())])}),
    **MIDDLEWARE,
)
