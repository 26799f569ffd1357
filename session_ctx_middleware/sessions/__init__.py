"""Whose session a request is of: token sources besides header and cookie (extra ``sessions``)."""

from .storefront import StorefrontSessions
from .storefront_cookies import EmporixSdkCookies, ShowcaseCookie
from .token_store import TokenStore
from .verifier import JWTVerifier

__all__ = ["EmporixSdkCookies", "JWTVerifier", "ShowcaseCookie", "StorefrontSessions", "TokenStore"]
