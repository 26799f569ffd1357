"""Keys that a JWT may be signed with, each bound to its algorithms, so that no token chooses how it is verified.

The algorithm is the key's and the configuration's (RFC 8725, sections 3.1 and 3.2): a public key that somebody uses as
an HMAC secret verifies nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from jwt import PyJWK
from jwt.algorithms import get_default_algorithms, has_crypto

from ..errors import ConfigurationError

__all__ = ["ALGORITHMS", "MAX_KEYS", "GivenKey", "KeySet", "checked_algorithms", "given_keys", "published_keys"]

GivenKey: TypeAlias = "str | bytes | Mapping[str, Any]"

SYMMETRIC: Final = frozenset({"HS256", "HS384", "HS512"})
ASYMMETRIC: Final = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)
ALGORITHMS: Final = SYMMETRIC | ASYMMETRIC
MAX_KEYS: Final = 64
MAX_TRIED: Final = 8

KEYS_WANTED: Final = (
    "JWTVerifier(key=...) must be a public key in PEM form, a JWK as a mapping, a secret of 32 bytes or more for "
    "HS256, or a sequence of those; it must fit algorithms=[...]."
)


@dataclass(frozen=True, slots=True, repr=False)
class VerifyingKey:
    """A key for one algorithm.

    Args:
        algorithm: the only one that it verifies.
        key_id: its name; `None` where it has none.
        value: what PyJWT verifies with.
    """

    algorithm: str
    key_id: str | None
    value: Any


class KeySet:
    """Keys, looked up by what the header of a token says.

    Args:
        keys: any number.
    """

    def __init__(self, keys: Sequence[VerifyingKey]) -> None:
        self._keys = tuple(keys)

    def __len__(self) -> int:
        return len(self._keys)

    def matching(self, algorithm: str, key_id: str | None) -> list[VerifyingKey]:
        """Return the keys that may have signed a token; a few at most.

        Args:
            algorithm: of the token.
            key_id: of the token; where it or the key has none, the algorithm decides.
        """
        found = [key for key in self._keys if key.algorithm == algorithm]
        named = [key for key in found if key_id is None or key.key_id in {None, key_id}]
        return named[:MAX_TRIED]


def checked_algorithms(algorithms: object, *, published: bool) -> tuple[str, ...]:
    """Return the names of the algorithms that are allowed.

    Args:
        algorithms: what was configured.
        published: whether anybody can read the keys, so that they are no secrets.

    Raises:
        ConfigurationError: none, an unknown one, ``none``, secrets and public keys at the same time, or the package
            ``cryptography`` is missing, which all but HS256 and its like need.
    """
    names = tuple(algorithms) if isinstance(algorithms, Iterable) and not isinstance(algorithms, str | bytes) else ()
    allowed = ASYMMETRIC if published else ALGORITHMS
    if not names or not all(isinstance(name, str) and name in allowed for name in names):
        raise ConfigurationError(
            f"JWTVerifier(algorithms=[...]) must name algorithms out of {', '.join(sorted(allowed))}."
        )
    if SYMMETRIC.intersection(names) and ASYMMETRIC.intersection(names):
        raise ConfigurationError(
            "JWTVerifier(algorithms=[...]) must not mix HS256 and its like with others: anybody could sign with a "
            "public key."
        )
    if not has_crypto and ASYMMETRIC.intersection(names):
        raise ConfigurationError(
            "JWTVerifier needs the package cryptography for these algorithms: "
            "pip install 'session-ctx-middleware[sessions]'."
        )
    return names


def given_keys(given: object, algorithms: Sequence[str]) -> KeySet:
    """Return keys that were configured.

    Args:
        given: one or several.
        algorithms: that are allowed.

    Raises:
        ConfigurationError: one of them is unusable, too weak, or of no allowed algorithm.
    """
    several = [given] if isinstance(given, str | bytes | Mapping) else given
    if not isinstance(several, Sequence) or not several or len(several) > MAX_KEYS:
        raise ConfigurationError(KEYS_WANTED)
    keys: list[VerifyingKey] = []
    for each in several:
        usable = _of_jwk(each, algorithms) if isinstance(each, Mapping) else _of_text(each, algorithms)
        if not usable:
            raise ConfigurationError(KEYS_WANTED)
        keys += usable
    return KeySet(keys)


def published_keys(document: object, algorithms: Sequence[str]) -> KeySet:
    """Return the usable keys of a JWK Set (RFC 7517, section 5), without those that nobody understands.

    Args:
        document: the parsed answer.
        algorithms: that are allowed.
    """
    listed = document.get("keys") if isinstance(document, Mapping) else None
    keys = listed[:MAX_KEYS] if isinstance(listed, list) else []
    return KeySet([usable for each in keys if isinstance(each, Mapping) for usable in _of_jwk(each, algorithms)])


def _of_jwk(jwk: Mapping[str, Any], algorithms: Sequence[str]) -> list[VerifyingKey]:
    if jwk.get("use") not in {None, "sig"}:
        return []
    key_id = jwk.get("kid")
    wanted = [name for name in algorithms if jwk.get("alg") in {None, name}]
    keys = [(name, _prepared(name, _parsed_jwk(jwk, name))) for name in wanted]
    name_of_key = key_id if isinstance(key_id, str) else None
    return [VerifyingKey(name, name_of_key, key) for name, key in keys if key is not None]


def _of_text(text: object, algorithms: Sequence[str]) -> list[VerifyingKey]:
    keys = [(name, _prepared(name, text)) for name in algorithms] if isinstance(text, str | bytes) else []
    return [VerifyingKey(name, None, key) for name, key in keys if key is not None]


def _parsed_jwk(jwk: Mapping[str, Any], algorithm: str) -> Any:
    try:
        return PyJWK(dict(jwk), algorithm).key
    except Exception:  # noqa: BLE001 - whatever is wrong with it, it is no key
        return None


def _prepared(algorithm: str, key: Any) -> Any:
    """Return a key as PyJWT wants it for an algorithm, `None` for one of another kind or one that is too weak."""
    if key is None:
        return None
    method = get_default_algorithms()[algorithm]
    try:
        prepared = method.prepare_key(key)
        return None if method.check_key_length(prepared) else prepared
    except Exception:  # noqa: BLE001 - whatever is wrong with it, it is no key
        return None
