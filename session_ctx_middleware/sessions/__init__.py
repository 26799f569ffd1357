"""Whose session a request is of: token sources besides header and cookie (extra ``sessions``)."""

from .account import Account, Companies
from .auth import ShopAuth
from .storefront import StorefrontSessions
from .storefront_cookies import EmporixSdkCookies, ShowcaseCookie
from .token_store import TokenStore
from .verifier import JWTVerifier

__all__ = [
    "Account",
    "Companies",
    "EmporixSdkCookies",
    "JWTVerifier",
    "ShopAuth",
    "ShowcaseCookie",
    "StorefrontSessions",
    "TokenStore",
]
