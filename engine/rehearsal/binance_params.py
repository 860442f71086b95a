"""What comes with a request to Binance: parameters as text; key, signature and time of those that are signed."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from engine.rehearsal.binance_words import ApiError

Params = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Route:
    """What a path does: its weight, and whether it must be signed."""

    call: Callable[[Params], Any]
    weight: int = 1
    signed: bool = False


def wall_clock() -> int:
    """Now, ms: the clock that requests are signed by."""
    return time.time_ns() // 1_000_000


class Signatures:
    """The one key that the exchange knows, with its secret for HMAC SHA256."""

    def __init__(self, api_key: str, secret: str) -> None:
        self._key = api_key
        self._secret = secret.encode()

    def verify(self, key: str | None, payload: str, params: Params) -> None:
        """Check key, signature and time of a signed request.

        Args:
            key: that it came with.
            payload: the text that was signed.
            params: its parameters, `signature` among them.

        Raises:
            ApiError: -2014, -2015, -1102, -1022 or -1021, as Binance has them.
        """
        if not key:
            raise ApiError(-2014, "API-key format invalid.", 401)
        if not hmac.compare_digest(key.encode(), self._key.encode()):
            raise ApiError(-2015, "Invalid API-key, IP, or permissions for action.", 401)
        stamp, window = whole(params, "timestamp"), whole(params, "recvWindow") or 5000
        if stamp is None or "signature" not in params:
            missing = "timestamp" if stamp is None else "signature"
            raise ApiError(-1102, f"Mandatory parameter '{missing}' was not sent, was empty/null, or malformed.")
        expected = hmac.new(self._secret, payload.encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(params["signature"].encode(), expected.encode()):
            raise ApiError(-1022, "Signature for this request is not valid.")
        now = wall_clock()
        if stamp >= now + 1000:
            raise ApiError(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
        if now - stamp > window:
            raise ApiError(-1021, "Timestamp for this request is outside of the recvWindow.")


def needed(params: Params, name: str) -> str:
    """A parameter that must be there; else -1102."""
    if not params.get(name):
        raise ApiError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
    return params[name]


def whole(params: Params, name: str) -> int | None:
    """A whole number, None where it is absent; else -1130."""
    text = params.get(name)
    if text is None:
        return None
    if not text.isdecimal():
        raise ApiError(-1130, f"Data sent for parameter '{name}' is not valid.")
    return int(text)


def number_of(params: Params, name: str) -> Decimal | None:
    """A decimal of at least 0, exactly as it was sent; None where it is absent; else -1100."""
    text = params.get(name)
    if text is None:
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise ApiError(-1100, f"Illegal characters found in parameter '{name}'.") from None
    if not number.is_finite() or number < 0:
        raise ApiError(-1100, f"Illegal characters found in parameter '{name}'.")
    return number


def limit_of(params: Params) -> int:
    """How many records are wanted: 500 unless told, 1000 at most."""
    return min(whole(params, "limit") or 500, 1000)


def span_of(params: Params) -> tuple[int, int]:
    """From when to when, ms."""
    since, until = whole(params, "startTime"), whole(params, "endTime")
    return since or 0, 1 << 62 if until is None else until
