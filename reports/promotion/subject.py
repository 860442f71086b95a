"""What is judged, as hashes and settings by name: a record binds them, and what runs later is held against them.

    subject = subject_of(strategy, market, exchange="binance", terms={"cash": 10_000.0, "costs": costs, "risk": risk})
    evidence = paper_evidence(strategy, market, subject=subject)
    differences(record.subject, subject_of(...))       # ["parameter fast: was 12, is 13"]

Beside a hash stands what it is made of, under the same name with "_text": which file, parameter, symbol or package has
changed can be told. Keys:

    strategy, label          the class's import path; its name with parameters
    source                   the strategy's files (`reports.promotion.source_closure`)
    parameters               with barriers and the notional of an order
    terms                    cash, costs, venue, limits: what the caller names
    data                     `Market.fingerprint`; first_bar and last_bar bound the bars that it is of
    lock, installed          requirements.lock, byte by byte; versions installed of what it pins
    engine                   every source file of `data` and `engine`
    exchange, symbols, timeframe, python
    ground                   of the live rung: "exchange", or "rehearsal" where prices were replayed
    policy                   added when it is recorded
"""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import pandas as pd

from data.errors import ValidationError
from data.market import Market
from engine.run import plain
from engine.strategy import Strategy, label, parameters
from reports.promotion.lock_file import default_lock, installed_versions, pins, read_lock
from reports.promotion.source_closure import engine_files, source_closure

NEEDED: Final = (
    *("strategy", "source", "parameters", "data", "first_bar", "last_bar", "lock", "engine"),
    *("exchange", "symbols", "timeframe"),
)
_PLAIN: Final = ("strategy", "exchange", "symbols", "timeframe", "first_bar", "last_bar", "python", "ground")
_ADDRESS: Final = re.compile(r" at 0x[0-9a-fA-F]+>")
_SHOWN: Final = 12  # characters of a hash


def subject_of(
    strategy: Strategy,
    market: Market,
    *,
    exchange: str,
    terms: Mapping[str, Any] | None = None,
    lock: str | Path | None = None,
) -> dict[str, str]:
    """Everything about a strategy and its ground that a record binds.

    Args:
        strategy: what is judged.
        market: the bars that it is judged on.
        exchange: where it is to trade.
        terms: by name what a run takes beside these: cash, costs, venue, risk.
        lock: requirements.lock; None for that of Ladder's folder.

    Raises:
        ValidationError: a source that cannot be found or followed, a parameter that no text tells, no bars, no lock.
    """
    if not len(market):
        raise ValidationError(f"{label(strategy)}: there are no bars to judge it on")
    content = read_lock(default_lock() if lock is None else Path(lock))
    pinned = pins(content)
    settings = _settings(strategy)
    told = {
        "source": source_closure(strategy, pinned),
        "parameters": settings,
        "terms": plain(dict(terms or {})),
        "engine": engine_files(),
    }
    kind = type(strategy)
    subject = {
        "strategy": f"{kind.__module__}.{kind.__qualname__}",
        "label": label(strategy),
        "data": market.fingerprint(),
        "data_text": canonical(_columns(market)),
        "first_bar": market.index[0].isoformat(),
        "last_bar": market.index[-1].isoformat(),
        "lock": sha256(content).hexdigest(),
        "lock_text": canonical(pinned),
        "installed_text": canonical(installed_versions(pinned)),
        "exchange": exchange,
        "symbols": ", ".join(market.symbols),
        "timeframe": market.timeframe,
        "python": ".".join(platform.python_version_tuple()[:2]),
    }
    for name, value in told.items():
        text = canonical(value)
        subject |= {name: digest_of(text), f"{name}_text": text}
    return subject


def line_of(subject: Mapping[str, str]) -> str:
    """Which strategy a record is of, 12 characters: its class, parameters, exchange, symbols and timeframe.

    What else changes (source, bars, lock, engine) is a change of that strategy, and no other strategy.
    """
    told = [subject[name] for name in ("strategy", "parameters", "exchange", "symbols", "timeframe")]
    return digest_of(canonical(told))[:12]


def line_of_run(strategy: Strategy, *, exchange: str, symbols: tuple[str, ...] | list[str], timeframe: str) -> str:
    """The same of what is to run, without bars or sources."""
    kind = type(strategy)
    return line_of(
        {
            "strategy": f"{kind.__module__}.{kind.__qualname__}",
            "parameters": digest_of(canonical(_settings(strategy))),
            "exchange": exchange,
            "symbols": ", ".join(symbols),
            "timeframe": timeframe,
        }
    )


def as_judged(market: Market, recorded: Mapping[str, str]) -> Market:
    """The bars of a market that a record is of: those that were fetched since are left out."""
    return market.loc[pd.Timestamp(recorded["first_bar"]) : pd.Timestamp(recorded["last_bar"])]


def differences(recorded: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What has changed since, each in words; none where nothing has.

    What was recorded and is not looked at now is a difference: nobody knows. Only a policy may be left out.
    """
    found: list[str] = []
    for name, was in recorded.items():
        if name == "label" or name.endswith("_text"):
            continue
        if name not in now:
            found += [] if name == "policy" else [f"{name}: was not looked at"]
        elif now[name] != was:
            if name in _PLAIN:
                found.append(f"{name}: was {was}, is {now[name]}")
                continue
            texts = [json.loads(one.get(f"{name}_text", "{}")) for one in (recorded, now)]
            told = list(_TELLERS[name](*texts)) if name in _TELLERS else []
            found += told or [f"{name}: another hash, {was[:_SHOWN]} was judged, {now[name][:_SHOWN]} is there"]
    found += [f"{name}: was not judged" for name in NEEDED if name in now and name not in recorded]
    return found + list(_installed(recorded, now))


def canonical(value: Any) -> str:
    """The one JSON text of a value: keys in order, no blanks, ASCII.

    Raises:
        ValueError: a number that is not finite.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest_of(text: str) -> str:
    """SHA-256 of a text, hexadecimal."""
    return sha256(text.encode()).hexdigest()


def _settings(strategy: Strategy) -> dict[str, Any]:
    values = {"exits": strategy.exits, "order_notional": strategy.order_notional, **parameters(strategy)}
    settings: dict[str, Any] = {name: plain(value) for name, value in values.items()}
    for name, value in settings.items():
        if _ADDRESS.search(canonical(value)):
            raise ValidationError(
                f"{label(strategy)}: parameter {name} is told by where it lies in memory, and nothing can be bound to "
                "that; make it a frozen dataclass, a number or a text"
            )
    return settings


def _columns(market: Market) -> dict[str, str]:
    """A short digest of each column and of the times."""
    found = {"times": sha256(market.index.as_unit("ns").asi8.tobytes()).hexdigest()[:16]}
    for field in sorted(market):
        table = market[field]
        for symbol in market.symbols:
            hashed = pd.util.hash_pandas_object(table[symbol], index=False).to_numpy()
            found[f"{symbol} {field}"] = sha256(hashed.tobytes()).hexdigest()[:16]
    return found


def _files(where: str) -> Any:
    def tell(was: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
        for name in sorted({*was, *now}):
            if was.get(name) != now.get(name):
                what = "is new" if name not in was else "is gone" if name not in now else "has changed"
                yield f"{where}: {name} {what}"

    return tell


def _values(where: str) -> Any:
    def tell(was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
        flat = [dict(_flat("", one)) for one in (was, now)]
        for name in sorted({*flat[0], *flat[1]}):
            before, after = (one.get(name, "not there") for one in flat)
            if before != after:
                yield f"{where} {name}: was {before}, is {after}"

    return tell


def _flat(above: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for name, one in value.items():
            yield from _flat(f"{above}.{name}" if above else name, one)
    else:
        yield above, canonical(value) if not isinstance(value, str) else repr(value)


def _bars(was: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    names = sorted(name for name in {*was, *now} if was.get(name) != now.get(name))
    if names:
        yield f"data: the bars that were judged have changed: {', '.join(names)}"


def _lock(was: Mapping[str, list[str]], now: Mapping[str, list[str]]) -> Iterator[str]:
    for name in sorted({*was, *now}):
        before, after = was.get(name), now.get(name)
        if before == after:
            continue
        if before is None or after is None:
            yield f"requirements.lock: {name} {(before or after or [''])[0]} is {'new' if before is None else 'gone'}"
        elif before[0] != after[0]:
            yield f"requirements.lock: {name} was {before[0]}, is {after[0]}"
        else:
            yield f"requirements.lock: the lines of {name} {before[0]} have changed (hashes or comments)"
    if was == now:
        yield "requirements.lock: its head, or the order of its lines, has changed"


def _installed(recorded: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    """Of packages that are installed then and now: a judge's machine may have more of them than a trader's."""
    was, there = (json.loads(one.get("installed_text", "{}")) for one in (recorded, now))
    for name in sorted({*was} & {*there}):
        if was[name] != there[name]:
            yield f"installed {name}: was {was[name]}, is {there[name]}; install what requirements.lock pins"


_TELLERS: Final = {
    "source": _files("source"),
    "engine": _files("engine"),
    "parameters": _values("parameter"),
    "terms": _values("terms:"),
    "policy": _values("policy"),
    "data": _bars,
    "lock": _lock,
}
