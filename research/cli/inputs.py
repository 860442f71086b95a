"""What a user types, made into what the engine takes: a strategy, its parameters, a market, costs and a venue."""

from __future__ import annotations

import ast
import difflib
import importlib
import importlib.util
import math
import os
import sys
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import ValidationError

if TYPE_CHECKING:
    from data.market import Market
    from engine.strategy import Strategy

SAMPLE = "sample"


def strategy_from(name: str, parameters: Sequence[str]) -> Strategy:
    """The strategy that a name and "key=value" parameters stand for.

    Args:
        name: one of the library's ("SmaCross"), a class of an importable module ("desk.trend:Breakout"), or of a file
            ("trend.py:Breakout").
        parameters: as "fast=20"; values are Python literals, anything else is text.

    Raises:
        ValidationError: no such file, module, class or parameter, or a value that the strategy refuses.
    """
    kind = strategy_class(name)
    given = {key: _literal(value) for key, value in _pairs(name, kind, parameters).items()}
    try:
        return kind(**given)
    except TypeError as error:
        raise ValidationError(f"{name}: cannot be made with {given or 'no parameters'} ({error})") from error


def strategy_class(name: str) -> type[Strategy]:
    """The class that a strategy's name stands for; see `strategy_from`.

    Raises:
        ValidationError: no such file, module or class, or it is no strategy.
    """
    from engine.strategy import Strategy

    kind = _named(name)
    if not (isinstance(kind, type) and issubclass(kind, Strategy)):
        raise ValidationError(f"{name}: is no strategy; write a frozen dataclass that inherits engine.Strategy")
    return kind


def grid_from(
    name: str, kind: type[Strategy], parameters: Sequence[str]
) -> tuple[dict[str, list[Any]], dict[str, Any]]:
    """The parameters that vary, with their values, and those that do not.

    Args:
        name: as the user wrote the strategy.
        kind: its class.
        parameters: as "fast=5:50:5" (start, stop, step; the stop is left out, as in Python), "slow=50,100,200", or one
            value.

    Raises:
        ValidationError: no such parameter, a span that holds no value, or none that varies.
    """
    grid: dict[str, list[Any]] = {}
    fixed: dict[str, Any] = {}
    for key, text in _pairs(name, kind, parameters).items():
        values = _span(key, text) if ":" in text else _values(text)
        if len(values) == 1:
            fixed[key] = values[0]
        else:
            grid[key] = values
    if not grid:
        raise ValidationError(f"{name}: no parameter has several values; write such as -p fast=5:50:5 -p slow=50,100")
    return grid, fixed


def _pairs(name: str, kind: type[Strategy], parameters: Sequence[str]) -> dict[str, str]:
    """Parameters as typed, by name."""
    from dataclasses import fields, is_dataclass

    known: list[str] = [item.name for item in fields(kind)] if is_dataclass(kind) else []
    given: dict[str, str] = {}
    for text in parameters:
        key, equals, value = text.partition("=")
        key = key.strip()
        if not equals or key not in known:
            raise ValidationError(
                f"{name}: parameter {text!r}; write key=value with one of {', '.join(known) or '(it has none)'}"
                + _suggestion(key, known)
            )
        if key in given:
            raise ValidationError(f"{name}: parameter {key} is given twice")
        given[key] = value.strip()
    return given


def _span(key: str, text: str) -> list[Any]:
    """The values of start:stop:step, as decimals, so that the third of 0.1:0.5:0.1 is 0.3 and no neighbour of it."""
    try:
        start, stop, step = (Decimal(part) for part in (text if text.count(":") == 2 else f"{text}:1").split(":"))
        count = math.ceil((stop - start) / step)
    except (ArithmeticError, ValueError) as error:
        raise ValidationError(f"parameter {key}={text}: write start:stop:step, such as 5:50:5") from error
    if count < 1 or count > 1_000_000:
        raise ValidationError(
            f"parameter {key}={text}: from {start} up to, not including, {stop} in steps of {step} there are "
            f"{max(count, 0):,} values"
        )
    values = [start + number * step for number in range(count)]
    whole = all(value == value.to_integral_value() for value in (start, step))
    return [int(value) if whole else float(value) for value in values]


def _values(text: str) -> list[Any]:
    values = _literal(text)
    if isinstance(values, tuple | list):
        return list(values)
    return [_literal(part.strip()) for part in text.split(",")] if isinstance(values, str) else [values]


def _named(name: str) -> Any:
    module_name, colon, class_name = name.rpartition(":")
    if not colon:
        from research import strategies

        if name not in strategies.__all__:
            raise ValidationError(
                f"strategy {name!r} is not one of the library's ({', '.join(strategies.__all__)}); name your own as "
                f"module:Class or file.py:Class{_suggestion(name, strategies.__all__)}"
            )
        return getattr(strategies, name)
    if not module_name or not class_name:
        raise ValidationError(f"strategy {name!r}: write module:Class or file.py:Class")
    module = _module_of_file(Path(module_name)) if module_name.endswith(".py") else _module(module_name)
    if not hasattr(module, class_name):
        raise ValidationError(f"{module_name}: holds no {class_name!r}")
    return getattr(module, class_name)


def _module_of_file(file: Path) -> Any:
    if not file.is_file():
        raise ValidationError(f"{file}: no such file; name a strategy as file.py:Class")
    # Under its own name in sys.modules: dataclasses and pickles look a class up there.
    name = f"ladder_user_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ValidationError(f"{file}: cannot be read as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (ImportError, SyntaxError) as error:
        raise ValidationError(f"{file}: cannot be imported ({error})") from error
    return module


def _module(name: str) -> Any:
    # The shell's folder, as `python -m` has it: where a user keeps the strategy.
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except (ImportError, SyntaxError) as error:
        raise ValidationError(f"module {name!r} cannot be imported ({error})") from error


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return {"true": True, "false": False, "none": None}.get(text.lower(), text)


def _suggestion(word: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def require_writable(option: str, path: Path | None) -> None:
    """Refuse a place that cannot be written, before a long run is over and its result has nowhere to go.

    Raises:
        ValidationError: the folder cannot be written to, or made.
    """
    if path is None:
        return
    folder = path.absolute().parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise ValidationError(f"{option} {path}: cannot be written in {folder}; name another place")


def market_from(
    source: str, symbols: Sequence[str], timeframe: str | None, since: str | None, until: str | None, store: Path | None
) -> Market:
    """The bars that a run is over.

    Args:
        source: "sample", the id of an exchange in the store, or a file of candles.
        symbols: which; all of the sample where none is given.
        timeframe: the bars' length; needed for a file and for the store. The sample is resampled to it.
        since: the first bar's earliest opening time.
        until: no bar opens at or after it.
        store: the store's folder.

    Raises:
        ValidationError: something is missing that the source needs, or the source does not hold it.
    """
    from data.market import Market
    from data.readers import read_candles
    from data.sample import load_sample
    from data.store import Store, load_candles

    if source == SAMPLE:
        market = load_sample(list(symbols) or None)
        market = market if timeframe in (None, market.timeframe) else market.resample(str(timeframe))
        return _between(market, since, until)
    if not symbols or timeframe is None:
        raise ValidationError(f"--data {source}: name --symbol and --timeframe too, such as --symbol BTC/USDT -t 1h")
    if Path(source).suffix:  # no exchange's id has one
        if len(symbols) > 1:
            raise ValidationError(f"--data {source}: a file holds one symbol, {len(symbols)} are named")
        candles = read_candles(source, timeframe=timeframe, symbol=symbols[0])
        return _between(Market.from_frames({symbols[0]: candles}, timeframe), since, until)
    shelf = Store() if store is None else Store(store)
    return load_candles(source, list(symbols), timeframe, store=shelf, since=since, until=until)


def _between(market: Market, since: str | None, until: str | None) -> Market:
    from data.timeframe import utc_time

    first = 0 if since is None else int(market.index.searchsorted(utc_time(since, "--since")))
    last = len(market) if until is None else int(market.index.searchsorted(utc_time(until, "--until")))
    if first >= last:
        raise ValidationError(
            f"no bar from {since} to {until}; there are bars from {market.index[0]} to {market.index[-1]}"
        )
    return market.iloc(first, last)
