"""Workers of one shop that share nothing but a secret."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ..support.shop import Shop
from .browser import SECRET


@pytest.fixture
def workers(make_shop: Callable[..., Shop]) -> tuple[Shop, Shop, Shop]:
    """Three processes of one shop that share nothing but a secret."""
    return make_shop(secret_key=SECRET), make_shop(secret_key=SECRET), make_shop(secret_key=SECRET)
