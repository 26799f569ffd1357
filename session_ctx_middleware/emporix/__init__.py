"""Clients of the Emporix platform, each usable without the middleware: the only place that knows HTTP libraries."""

from ..model.carts import CartMerge, CartOutcome
from .carts import CartFollows
from .client import ClientOptions
from .customer_profile import Company, CustomerProfile
from .managed_context import ManagedContextClient
from .own_context import OwnContextClient
from .public_token import PublicToken
from .service_token import ServiceToken
from .shopper_tokens import ShopperTokens
from .sites import SiteCatalog
from .token_answer import TokenAnswer, ValidToken
from .transport import HttpClient

__all__ = [
    "CartFollows",
    "CartMerge",
    "CartOutcome",
    "ClientOptions",
    "Company",
    "CustomerProfile",
    "HttpClient",
    "ManagedContextClient",
    "OwnContextClient",
    "PublicToken",
    "ServiceToken",
    "ShopperTokens",
    "SiteCatalog",
    "TokenAnswer",
    "ValidToken",
]
