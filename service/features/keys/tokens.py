"""Access tokens (JWT) of an identity provider, as callers (OpenID Connect); an option.

The provider's public keys are read at the start, every few minutes, and when a token names one that
is not known; no request waits for the provider.
"""

import asyncio
import contextlib
import hashlib
import importlib
import json
import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Self, cast

import httpx

from service.engine.work.background import Background
from service.errors import StartupError, Unauthorized
from service.http.auth.callers import Caller
from service.scopes import ROLES, SCOPES, Role
from service.settings import Oidc

_log = logging.getLogger(__name__)
_REFRESH_S, _AT_MOST_EVERY_S = 300.0, 10.0
_TIMEOUT_S = 5.0
_LARGEST_BYTES = 1 << 20
_REMEMBERED = 1024
"""Tokens whose signature need not be checked again."""
_NAME_CHARS = 100
_NO_JSON_OBJECT = (
    *(ValueError, TypeError, AttributeError),
    *(LookupError, OverflowError, RecursionError),
)
"""What reading a text may raise that is no JSON object of the expected form."""


class _Unreadable(Exception):
    """The provider's keys can't be read; the message says why."""


class _Unreachable(_Unreadable):
    """The provider does not answer, or has a failure of its own."""


class Tokens:
    """Knows the callers of an identity provider by their tokens.

    Attributes:
        read_at: when the provider's keys were read, in seconds since 1970.
        failure: why they could not be read, for the log; None if they could.
    """

    def __init__(self, settings: Oidc, now: Callable[[], float] = time.time) -> None:
        """Know no key before `refresh`.

        Args:
            settings: of the provider.
            now: the time, in seconds since 1970.

        Raises:
            StartupError: the library that checks signatures is not installed.
        """
        try:
            self._jwt: Any = importlib.import_module("jwt")
        except ModuleNotFoundError as error:
            raise StartupError(
                "STREAMER_OIDC__ISSUER is set and PyJWT is not installed: install the extra oidc"
            ) from error
        self._settings = settings
        self._now = now
        self._keys: dict[tuple[str | None, str], Any] = {}  # by id and algorithm
        self._known: OrderedDict[bytes, tuple[Caller, float, float]] = OrderedDict()
        self.read_at = 0.0
        self.failure: str | None = None
        self._wanted = asyncio.Event()
        self._background = Background("keys of the identity provider")

    @property
    def grants_admin(self) -> bool:
        """Whether a token can have the scope admin."""
        return any("admin" in _scopes_of(granted) for granted in self._settings.grants.values())

    def caller_of(self, token: str) -> Caller:
        """Who has a token.

        Raises:
            Unauthorized: it is not valid here or now.
        """
        if not self._keys:
            raise Unauthorized(
                "the keys of the identity provider can't be read yet, so no token is taken: try "
                "again soon, or use an API key"
            )
        digest, now = hashlib.sha256(token.encode()).digest(), self._now()
        caller, begins, ends = self._known.get(digest) or self._checked(token, digest)
        if now >= ends:
            raise Unauthorized("the token has expired; get a new one")
        if now < begins:
            raise Unauthorized("the token is not valid yet: are the clocks right?")
        return caller

    def _checked(self, token: str, digest: bytes) -> tuple[Caller, float, float]:
        """Check a token that is not remembered, but for its times; remember it."""
        settings = self._settings
        try:
            claims: dict[str, Any] = self._jwt.decode(
                token,
                self._key_of(token),
                algorithms=list(settings.algorithms),
                audience=settings.audience,
                issuer=settings.issuer,
                options={
                    "require": ["exp", "iss", "aud", "sub"],
                    # Checked on every request, by the service's own clock.
                    **dict.fromkeys(("verify_exp", "verify_nbf", "verify_iat"), False),
                },
            )
            begins = max(float(claims.get("nbf", 0)), float(claims.get("iat", 0)))
            ends = float(claims["exp"])
            if not math.isfinite(begins + ends):
                raise ValueError("a time is not finite")
        except (self._jwt.PyJWTError, *_NO_JSON_OBJECT) as error:
            if isinstance(error, self._jwt.InvalidSignatureError):
                self._wanted.set()  # another key may have the id of the one before, or none too
            _log.debug("a token is refused: %s", type(error).__name__)
            raise Unauthorized(
                f"the token is not valid here: it must be signed by {settings.issuer} for "
                f"{settings.audience}, with {', '.join(settings.algorithms)}"
            ) from error
        found = (self._caller(claims), begins - settings.leeway_s, ends + settings.leeway_s)
        self._known[digest] = found
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return found

    def _key_of(self, token: str) -> Any:
        """The provider's key that a token names, for the algorithm that it names."""
        header = self._jwt.get_unverified_header(token)
        key = self._keys.get((header.get("kid"), header["alg"]))
        if key is None:
            self._wanted.set()  # it may be new there
            raise self._jwt.InvalidKeyError("the key is not known")
        return key

    def _caller(self, claims: dict[str, Any]) -> Caller:
        name = _name_of(str(claims["sub"]))
        scopes = {s for value in self._granted(claims) for s in _scopes_of(value)}
        return Caller(f"oidc:{name}", name, frozenset(scopes))

    def _granted(self, claims: dict[str, Any]) -> Iterable[str]:
        """What the settings grant for the values of the claim, a list or words in a text."""
        values = claims.get(self._settings.claim, ())
        values = values.split() if isinstance(values, str) else values
        if not isinstance(values, list | tuple):
            return []
        grants = self._settings.grants
        return [grants[v] for v in cast(list[Any], values) if isinstance(v, str) and v in grants]

    async def refresh(self) -> None:
        """Read the provider's keys.

        Raises:
            _Unreadable: what was known stays known.
        """
        place = self._settings.jwks or ""
        try:
            if place.startswith(("https://", "http://")):
                text = await _fetched(place)
            else:
                text = await asyncio.to_thread(Path(place).read_bytes)
            keys = self._keys_in(json.loads(text)["keys"])
        except (httpx.TransportError, httpx.HTTPStatusError) as error:
            is_away = not isinstance(error, httpx.HTTPStatusError) or error.response.is_server_error
            kind = _Unreachable if is_away else _Unreadable
            raise kind(f"{place}: {str(error) or type(error).__name__}") from error
        except (OSError, httpx.HTTPError, self._jwt.PyJWTError, *_NO_JSON_OBJECT) as error:
            raise _Unreadable(f"{place}: {str(error) or type(error).__name__}") from error
        if not keys:
            raise _Unreadable(f"{place} has no key for {', '.join(self._settings.algorithms)}")
        self._keys = keys
        self._known.clear()  # of a key that is gone nothing holds
        self.read_at = self._now()

    def _keys_in(self, published: Iterable[Any]) -> dict[tuple[str | None, str], Any]:
        """The keys of a JWKS that fit, by id and algorithm."""
        found = [
            self._forms_of(cast(dict[str, Any], jwk)) for jwk in published if isinstance(jwk, dict)
        ]
        fit = [forms for forms in found if forms]
        keys = {(key.key_id, key.algorithm_name): key for forms in fit for key in forms}
        if len(fit) == 1:  # a token need not name the only one
            keys |= {(None, key.algorithm_name): key for key in fit[0]}
        return keys

    def _forms_of(self, jwk: Mapping[str, Any]) -> list[Any]:
        """A key for its algorithm, or, where it names none, for each that it can be used with.

        One that is for encryption (RFC 7517, 4.2) signs nothing.
        """
        named, forms = jwk.get("alg"), list[Any]()
        is_of_signatures = jwk.get("use") in (None, "sig")
        for algorithm in self._settings.algorithms:
            if is_of_signatures and (not named or named == algorithm):
                with contextlib.suppress(self._jwt.InvalidKeyError, self._jwt.PyJWKError):
                    forms.append(self._jwt.PyJWK(jwk, algorithm))
        return forms

    async def __aenter__(self) -> Self:
        """Read the keys, and read them again now and then; soon where the provider does not answer.

        Raises:
            StartupError: what the settings name has no keys that fit.
        """
        try:
            await self.refresh()
        except _Unreachable as error:
            _log.warning("no token is taken until the identity provider answers: %s", error)
            self.failure = str(error)
            self._wanted.set()
        except _Unreadable as error:
            raise StartupError(f"STREAMER_OIDC__JWKS: {error}; correct it") from error
        self._background.start(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Read no more."""
        await self._background.stop()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_AT_MOST_EVERY_S)  # whatever tokens ask for
            try:
                async with asyncio.timeout(_REFRESH_S):
                    await self._wanted.wait()
            except TimeoutError:
                pass
            self._wanted.clear()
            try:
                await self.refresh()
            except Exception as error:  # noqa: BLE001 - the next reading may work
                failure, is_known = str(error) or repr(error), isinstance(error, _Unreadable)
                if failure != self.failure:
                    said = "the keys of the identity provider can't be read, known ones hold: %s"
                    level = logging.WARNING if is_known else logging.ERROR
                    _log.log(level, said, failure, exc_info=not is_known)
                self.failure = failure
                if not self._keys:
                    self._wanted.set()
            else:
                self.failure = None


def _name_of(subject: str) -> str:
    """A subject as it is, or what can be shown of it and a digest: no two share a name."""
    if len(subject) <= _NAME_CHARS and subject.isprintable():
        return subject
    shown = "".join(c for c in subject[: _NAME_CHARS // 2] if c.isprintable())
    return f"{shown}~{hashlib.sha256(subject.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"


def _scopes_of(granted: str) -> frozenset[str]:
    """The scopes of a role, or a scope."""
    return ROLES.get(cast(Role, granted)) or SCOPES & {cast(Any, granted)}


async def _fetched(url: str) -> bytes:
    async with (
        httpx.AsyncClient(timeout=_TIMEOUT_S, trust_env=False) as client,
        client.stream("GET", url) as answer,
    ):
        answer.raise_for_status()
        body = b""
        async for part in answer.aiter_bytes():
            body += part
            if len(body) > _LARGEST_BYTES:
                raise ValueError(f"it has more than {_LARGEST_BYTES} bytes")
        return body
