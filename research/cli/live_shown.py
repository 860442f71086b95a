"""What `ladder live` and the commands beside it show of a run: its journal in words, and what is not explained."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.live.books import Books
    from engine.live.journal import Journal
    from engine.live.reconcile import Findings
    from research.strategy_card import Card

_SHOWN = 10  # incidents, statements
_ON_TERM = {"cancel": "cancels all", "keep": "keeps stops and profits", "flatten": "cancels all, sells all"}


def announce(
    card: Card,
    run: str,
    journal: Path,
    kill_file: Path,
    rehearsal: str | None,
    on_term: str,
    dead_man: float | None,
    alerts: str,
) -> None:
    """Print what a session is about to do, before it does anything."""
    from rich.console import Console
    from rich.table import Table

    from engine.live.books import currencies

    given, quote = card.market, currencies(card.market.symbols[0])[1]
    table = Table(show_header=False, box=None, pad_edge=False)
    where = f"rehearsal exchange at {rehearsal}" if rehearsal else f"{given.exchange}, REAL MONEY"
    limits = {} if card.risk is None else {key: value for key, value in card.risk.model_dump().items() if value}
    exits = {} if card.exits is None else {key: value for key, value in card.exits.model_dump().items() if value}
    parameters = ", ".join(f"{key}={value}" for key, value in card.strategy.parameters.items())
    costs = f"fee {card.costs.fee:.4%}, slippage {card.costs.slippage:.4%} (reckoned; fills bring their own)"
    rows = {
        "run": f"{run}, journal {journal}" + (" (goes on)" if journal.is_file() else " (new)"),
        "account": where,
        "strategy": f"{card.strategy.name} {parameters}".strip(),
        "trades": f"{', '.join(given.symbols)}, {given.timeframe}",
        "cash": f"{card.account.cash:,.12g} {quote}",
        "limits": ", ".join(f"{key} {value}" for key, value in limits.items()) or "NONE",
        "barriers": ", ".join(f"{key} {value}" for key, value in exits.items()) or "the strategy's own, if it has some",
        "costs": costs,
        "kill file": str(kill_file),
        "SIGTERM": _ON_TERM[on_term],
        "dead man": "none" if dead_man is None else f"all orders of the account are cancelled after {dead_man:g} s",
        "alerts": alerts,
    }
    for key, value in rows.items():
        table.add_row(key, value)
    Console().print(table)


def print_findings(findings: Findings, run: str) -> None:
    """Print what `reconcile` has found, each kind of it as a table."""
    _table(
        "orders whose end nobody knows",
        ("client id", "symbol", "order", "why"),
        [(one.client_id, one.symbol, _order(one), why) for one, why in findings.unknown],
    )
    _table(
        "orders that the exchange does not know any more",
        ("client id", "symbol", "order"),
        [(one.client_id, one.symbol, _order(one)) for one in findings.lost],
    )
    for what, orders in ((f"open orders of {run}", findings.own), ("open orders of others", findings.foreign)):
        _table(
            what,
            ("client id", "symbol", "side", "amount", "filled", "price"),
            [
                (one.client_id, one.symbol, one.side, f"{one.amount:f}", f"{one.filled:f}", _price(one.price))
                for one in orders
            ],
        )
    for what, fills in (
        (f"fills of {run} that were not in the journal, and are now", findings.recovered),
        ("fills of others in its symbols, since it began", findings.strangers),
    ):
        _table(
            what,
            ("time", "symbol", "side", "amount", "price", "fee"),
            [
                (
                    moment(one.at * 1_000_000),
                    one.symbol,
                    one.side,
                    f"{one.amount:f}",
                    f"{one.price:f}",
                    f"{one.fee:f} {one.fee_currency}",
                )
                for one in fills
            ],
        )
    _table(
        "balances that the journal does not explain",
        ("currency", "expected", "found", "difference"),
        [(one.currency, f"{one.expected:f}", f"{one.found:f}", f"{one.amount:+f}") for one in findings.differences],
    )


def print_status(book: Journal, run: str) -> None:
    """Print what the journal knows of a run."""
    from rich.console import Console
    from rich.table import Table

    from engine.live.account_lock import holders, is_written
    from engine.live.books import currencies
    from engine.live.safety import read_kill

    console, kill_file = Console(), kill_file_in(book, run)
    holder = next((one for one in holders() if one.journal == str(book.path.resolve())), None)
    running = is_written(book.path)
    pid = f", process {holder.pid} on {holder.host}" if holder is not None and running else ""
    beat, done, state = book.last_heartbeat(run), book.last_bar_done(run), book.turn_state(run)
    rows = {
        "run": run,
        "session": f"runs{pid}" if running else "does not run",
        "last sign of life": "never" if beat is None else f"{moment(beat)}, {_ago(beat)}",
        "open bar": "none yet" if done is None else moment(done),
        "kill file": f"{kill_file}: {read_kill(kill_file).get('why')}" if kill_file.exists() else "none",
    }
    books = book.rebuild(run)
    if state is not None and state[1]:
        rows["cash"] = " ".join(_money(state[1], books))
        rows["equity"] = f"{_equity(state[1]):,.8g}"
    gains = (f"{gain:+.8g} {currencies(symbol)[1]} with {symbol}" for symbol, gain in books.realised.items())
    rows["realised"] = ", ".join(gains) or "nothing"
    rows["fees"] = ", ".join(f"{paid:f} {currency}" for currency, paid in books.fees.items()) or "none"
    grid = Table(show_header=False, box=None, pad_edge=False)
    for key, value in rows.items():
        grid.add_row(key, value)
    console.print(grid)
    marks = _marks(state[1]) if state is not None else {}
    _table(
        "positions",
        ("symbol", "amount", "cost", "last close"),
        [
            (symbol, f"{amount:f}", f"{books.cost[symbol]:.8g}", f"{marks.get(symbol, float('nan')):.8g}")
            for symbol, amount in books.positions.items()
            if amount
        ],
    )
    _table(
        "open orders, as the journal has them",
        ("client id", "symbol", "order", "state"),
        [(one.client_id, one.symbol, _order(one), str(book.state(one.client_id))) for one in book.unsettled(run)],
    )
    _table(
        "what a person should know",
        ("incident", "detail"),
        [(kind, str(detail)) for kind, detail in book.incidents(run)[-_SHOWN:]],
    )
    _table(
        "what was said",
        ("time", "what", "who", "why"),
        [
            (moment(one.at), one.kind, one.who, str(one.detail.get("why") or one.detail.get("sentence") or ""))
            for one in book.statements(run)[-_SHOWN:]
        ],
    )


def turn_line(book: Journal, run: str, opened: int, orders: int) -> str:
    """One line of a turn: the bar that has opened, equity, what was sent since `Journal.order_count` was `orders`."""
    told = [moment(opened)]
    state = book.turn_state(run)
    if state is not None and state[1]:
        told.append(f"equity {_equity(state[1]):,.2f}")
    for name in book.late_order_ids(run, orders):
        intent = book.intent(name)
        if intent is not None:
            told.append(f"{intent.symbol} {_order(intent)} {book.state(name)}")
    return "  ".join(told)


# What a journal tells.


def run_in(book: Journal, run: str | None) -> str:
    """The run that is meant.

    Raises:
        ValidationError: there is no such run, or several and none was named.
    """
    from data.errors import ValidationError

    runs = [name for name, _, _ in book.runs()]
    if run is None and len(runs) == 1:
        return runs[0]
    if run is None or run not in runs:
        raise ValidationError(
            f"journal {book.path}: {'name a run with --run' if run is None else f'has no run {run!r}'}; it has "
            f"{', '.join(runs) or 'none'}"
        )
    return run


def kill_file_in(book: Journal, run: str) -> Path:
    """The kill file that a run's last session looked for."""
    from engine.live.safety import kill_file_of

    started = book.statements(run, "started")
    told = started[-1].detail.get("kill_file") if started else ""
    return Path(told) if told else kill_file_of(book.path)


def symbols_of(book: Journal, run: str) -> list[str]:
    """What a run trades."""
    started, state = book.statements(run, "started"), book.turn_state(run)
    if started:
        return list(started[-1].detail["symbols"])
    if state is not None and state[1]:
        return list(state[1]["symbols"])
    return sorted({intent.symbol for intent in book.orders(run)})


def _table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    found = list(rows)
    if not found:
        return
    table = Table(title=title, title_justify="left")
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in found:
        table.add_row(*row)
    Console().print(table)


def _order(intent: Any) -> str:
    prices = [f"{name} {price}" for name, price in (("at", intent.price), ("stop", intent.stop_price)) if price]
    kind = [] if intent.kind == "stop" else [intent.kind]  # its price says so
    return " ".join([intent.side, intent.amount, *kind, *prices])


def _price(price: Any) -> str:
    return "" if price is None else f"{price:f}"


def _cash(state: dict[str, Any]) -> Decimal:
    """What a session reckons as cash: what it holds counts as paid for, a perpetual's position too."""
    from engine.live.books import currencies

    return Decimal(state["totals"].get(currencies(state["symbols"][0])[1], "0"))


def _money(state: dict[str, Any], books: Books) -> list[str]:
    """Cash and its currency; of perpetuals the run's part of the wallet, whose positions are not paid for."""
    from engine.live.books import currencies, is_perpetual
    from engine.live.order_state import sum_of

    quote = currencies(state["symbols"][0])[1]
    spent = [cost for symbol, cost in books.cost.items() if is_perpetual(symbol)]
    return [f"{sum_of((_cash(state), *spent)):f}", quote]


def _marks(state: dict[str, Any]) -> dict[str, float]:
    holdings = state["desk"]["account"]["holdings"] if state else []
    return {symbol: float(one["mark"]) for symbol, one in zip(state.get("symbols", ()), holdings, strict=True)}


def _equity(state: dict[str, Any]) -> float:
    held = state["desk"]["account"]["holdings"]
    return float(_cash(state)) + sum(float(one["held"]) * float(one["mark"]) for one in held if one["held"])


def moment(ns: int) -> str:
    """A time in UTC, to the second."""
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(ns / 1e9))


def _ago(ns: int) -> str:
    return f"{max(time.time() - ns / 1e9, 0.0):,.0f} s ago"
