"""How a session's ccxt client is made: for an exchange by its name, or for a rehearsal exchange by its URL.

    exchange = live_client("binance", load_keys("binance"))
    exchange = live_client("binance", None, rehearsal="http://127.0.0.1:8080")

A client paces its own requests and repeats none: what to do about a lost answer is for `gateway` to say. Pointed at a
rehearsal exchange it is the same client with other URLs, all of them on this machine; another host is refused, so that
a card can never reach a real account by a rehearsal's flag, nor a real key a stranger's server.
"""

from __future__ import annotations

import difflib
import http.client
import json
import os
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from data.errors import ValidationError
from engine.live.keys import Keys, load_keys

HERE: Final = ("127.0.0.1", "localhost")
_PATIENCE: Final = 10.0  # seconds; the rehearsal exchange imports ccxt before its first answer
_UNKNOWN_TO_ALL: Final = "rehearsal"  # key and secret of a rehearsal exchange that was given none: no secret
_STREAM: Final = "watchOHLCVForSymbols"


def live_client(exchange_id: str, keys: Keys | None, *, rehearsal: str | None = None, perpetual: bool = False) -> Any:
    """A ccxt.pro exchange, ready for `load_markets`; close it with `await exchange.close()`.

    Args:
        exchange_id: its name in ccxt, "binance".
        keys: what lets one into the account; None for public data alone, or for the rehearsal exchange's own: those of
            LADDER_REHEARSAL_KEY and LADDER_REHEARSAL_SECRET, as `engine.rehearsal.serve` reads them.
        rehearsal: "http://127.0.0.1:PORT" of a rehearsal exchange that its URLs are to point at. It is asked what it
            is, in this thread: not to be called from the event loop that it runs in.
        perpetual: linear perpetuals are traded, not spot.

    Raises:
        ValidationError: ccxt knows no such exchange, or has no stream of candles for it; no rehearsal exchange at the
            URL, or one of another kind.
    """
    import ccxt.pro

    if not isinstance(exchange_id, str) or exchange_id not in ccxt.pro.exchanges:
        near = difflib.get_close_matches(str(exchange_id).lower(), ccxt.pro.exchanges, n=1)
        mend = f"did you mean {near[0]!r}?" if near else f"it knows {', '.join(ccxt.pro.exchanges[:5])} and others"
        raise ValidationError(
            f"exchange {exchange_id!r}: ccxt {ccxt.__version__} streams from no such exchange; {mend}"
        )
    exchange = getattr(ccxt.pro, exchange_id)({"enableRateLimit": True})
    kind = "swap" if perpetual else "spot"
    if not exchange.has.get(_STREAM):
        raise ValidationError(f"{exchange_id}: ccxt {ccxt.__version__} streams no candles of several symbols from it")
    if exchange.has.get(kind) is False:
        raise ValidationError(f"{exchange_id}: has no {'perpetuals' if perpetual else 'spot markets'}")
    set_up(exchange, kind)
    if rehearsal is not None:
        told = ask_rehearsal(rehearsal)
        if (told["exchange"], told["perpetual"]) != (exchange_id, perpetual):
            raise ValidationError(
                f"{rehearsal}: rehearses {_kind(told['exchange'], told['perpetual'])}, not "
                f"{_kind(exchange_id, perpetual)}; start one by `python -m engine.rehearsal.serve --dialect`, or "
                "change the card"
            )
        exchange.urls["api"] = told["urls"]
        keys = keys or _rehearsal_keys()
        if keys is None:
            exchange.apiKey = exchange.secret = _UNKNOWN_TO_ALL
    if keys is not None:
        keys.unlock(exchange)
    return exchange


def ask_rehearsal(url: str) -> dict[str, Any]:
    """What a rehearsal exchange says of itself: exchange, perpetual, urls, symbols, time (ms).

    Raises:
        ValidationError: the URL is not on this machine, nothing answers there, or something else does.
    """
    host, port = _place(url)
    connection = http.client.HTTPConnection(host, port, timeout=_PATIENCE)  # not by urllib: no proxy lies between
    try:
        connection.request("GET", "/rehearsal")
        answer = connection.getresponse()
        told = json.loads(answer.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise ValidationError(
            f"{url}: no rehearsal exchange answers there ({type(error).__name__}); start one with "
            "`python -m engine.rehearsal.serve --port PORT`"
        ) from error
    finally:
        connection.close()
    if not isinstance(told, dict) or not {"exchange", "perpetual", "urls"} <= set(told):
        raise ValidationError(f"{url}: what answers there is no rehearsal exchange")
    strangers = [one for one in _leaves(told["urls"]) if urlsplit(one).hostname not in HERE]
    if strangers:
        raise ValidationError(f"{url}: names URLs that are not on this machine ({strangers[0]})")
    return told


def _place(url: str) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    plain = parts.path in ("", "/") and not parts.query and parts.username is None
    if parts.scheme != "http" or parts.hostname not in HERE or port is None or not plain:
        raise ValidationError(f"rehearsal {url!r}: must be http://127.0.0.1:PORT, a server on this machine")
    return HERE[0], port


def set_up(exchange: Any, kind: str) -> None:
    """No repeats, and only the markets of one kind: their list is what takes the time at the start.

    Nor what a session never asks for: Binance's currencies and margin pairs, which a key without those rights cannot
    read.

    Args:
        exchange: of ccxt.
        kind: "spot" or "swap".
    """
    exchange.options["defaultType"] = kind
    exchange.options["maxRetriesOnFailure"] = 0
    for nested in exchange.options.values():
        if isinstance(nested, dict):
            nested.pop("maxRetriesOnFailure", None)
    markets = exchange.options.get("fetchMarkets")
    if exchange.id in ("binance", "bybit") and isinstance(markets, dict):
        markets["types"] = ["linear" if kind == "swap" else "spot"]
    if exchange.id == "binance":
        exchange.options["fetchMargins"] = False
        exchange.has["fetchCurrencies"] = False


def _rehearsal_keys() -> Keys | None:
    return load_keys("rehearsal", os.environ) if os.environ.get("LADDER_REHEARSAL_KEY") else None


def _kind(exchange_id: str, perpetual: bool) -> str:
    return f"{exchange_id} {'perpetuals' if perpetual else 'spot'}"


def _leaves(urls: Mapping[str, Any]) -> list[str]:
    found: list[str] = []
    for url in urls.values():
        found += _leaves(url) if isinstance(url, Mapping) else [str(url)]
    return found
