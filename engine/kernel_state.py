"""What the compiled pass works on: named tuples of arrays. T bars, N symbols, one account.

Levels, rates and limits that are not there are NaN or infinite, tables that are not there have no rows: one compiled
function serves every run. The brokers' own words for the same things are in `engine.run`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# Records by symbol: one array of them is one argument to a compiled function, where an array a field would be a dozen,
# each of which costs compile time at every call.
VENUE = np.dtype(
    [
        ("maker", "f8"),
        ("taker", "f8"),
        ("step", "f8"),
        ("tick", "f8"),
        ("min_notional", "f8"),
        ("min_amount", "f8"),
        ("max_amount", "f8"),
        ("max_notional", "f8"),
        ("leverage", "f8"),
        ("maintenance", "f8"),
        ("price_digits", "i8"),
    ]
)
# What is held of a symbol, how it was entered, what it is worth, where its barriers are.
HOLDING = np.dtype(
    [
        ("held", "f8"),
        ("average", "f8"),
        ("best", "f8"),
        ("scale", "f8"),
        ("mark", "f8"),
        ("last_close", "f8"),
        ("last_volume", "f8"),
        ("stop", "f8"),
        ("profit", "f8"),
        ("maker", "f8"),  # fee rates, as the tier has them
        ("taker", "f8"),
        ("opened", "i8"),  # opening time of the entry's bar, ns
        ("decided", "i8"),  # row of the decision that last opened or enlarged it
        ("changed", "i8"),  # row of the fill that did
        ("seen", "i8"),  # opening time of the symbol's last bar, ns
        ("trailing", "i8"),  # whether `stop` is the trailing stop
        ("within", "i8"),  # filled within this bar: the range before is not its own
    ]
)
# The order of a symbol that waits.
WAITING = np.dtype(
    [
        ("amount", "f8"),
        ("price", "f8"),
        ("close", "f8"),
        ("smallest", "f8"),
        ("scale", "f8"),
        ("kind", "i8"),
        ("decided", "i8"),
        ("left", "i8"),  # bars for which a limit order still rests
        ("reason", "i8"),
        ("cut", "i8"),  # what has cut it already
        ("known", "i8"),  # opening time of the bar it was decided by, ns
    ]
)

# Kinds of a pending order.
NONE, MARKET, LIMIT = 0, 1, 2


class Bars(NamedTuple):
    """Prices and volumes (T, N), NaN where a symbol has no bar."""

    open: np.ndarray
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray
    volume: np.ndarray
    times: np.ndarray  # opening times, ns since 1970 (T,)
    days: np.ndarray  # UTC days since 1970 (T,)
    length: int  # of a bar, ns


class Terms(NamedTuple):
    """Costs and trading rules."""

    tiers: np.ndarray  # volume from which it holds, maker, taker (K, 3)
    slip_base: float
    slip_coefficient: float
    slip_most: float
    fee_in_bought: bool
    borrow: np.ndarray  # rate for the time since the bar before (T,), or (0,)
    funding_before: np.ndarray  # rate at the bar's opening time (T, N), or (0, 0)
    funding_within: np.ndarray  # rate at times within the bar
    venues: np.ndarray  # of VENUE (N,)
    liquidates: bool


class Barriers(NamedTuple):
    """`Exits`: fractions, NaN where there is none; the time limit in ns, 0 for none."""

    stop: float
    profit: float
    activation: float
    delta: float
    time_limit: int


class Style(NamedTuple):
    """`LimitOrders`; not `rests`: orders at the market."""

    rests: bool
    offset: float
    alive: int
    then_market: bool


class Limits(NamedTuple):
    """`RiskLimits`: infinite, or 0 for whole numbers, where there is none."""

    on: bool
    position: float
    gross: float
    net: float
    notional: float
    orders_per_minute: int
    data_age: int  # ns
    collar: float
    daily_loss: float
    drawdown: float


class Setup(NamedTuple):
    """A run but for its targets: what all parameter sets of a sweep share, but for what the strategy brings."""

    bars: Bars
    terms: Terms
    barriers: Barriers
    style: Style
    limits: Limits
    order_notional: float  # what an opening order at a target of 1 is worth, quote currency; 0 for targets of equity


class Desk(NamedTuple):
    """Of the account: money, (4,): cash, equity at the last close, at the day's start, highest; and counters."""

    money: np.ndarray
    halted: np.ndarray  # (1,) the rule that halts
    sent: np.ndarray  # (K,) times of the last orders, oldest at `sent_at`
    sent_at: np.ndarray  # (1,)
    traded: np.ndarray  # (31,) notional by UTC day modulo 31
    waiting: np.ndarray  # (3,) how many symbols have an order of each kind


class Output(NamedTuple):
    """Written to; the counters say how far."""

    counts: np.ndarray  # (2,) fills, events
    fills: np.ndarray  # decided row, filled row, column, reason, cut by (F, 5)
    fill_values: np.ndarray  # amount signed, price, fee (F, 3)
    events: np.ndarray  # row, decided row or -1, column or -1, verdict, rule (E, 5)
    event_values: np.ndarray  # wanted, allowed (E, 2)
    positions: np.ndarray  # amount held at each close (T, N)
    funding: np.ndarray  # paid (T, N), or (0, 0)
    borrow: np.ndarray  # paid (T, N), or (0, 0)


def outputs(setup: Setup, targets: np.ndarray) -> Output:
    """Room for all that a run can leave.

    A target leads to one fill at most, and what it opens is closed once at most by an exit, a halt or a liquidation.
    """
    length, columns = targets.shape
    decisions = int(np.count_nonzero(~np.isnan(targets)))
    days = int(setup.bars.days[-1] - setup.bars.days[0]) + 1
    events = (2 * decisions + 2 * days + 2) if setup.limits.on else decisions
    paid = targets.shape
    return Output(
        counts=np.zeros(2, dtype=np.int64),
        fills=np.empty((2 * decisions, 5), dtype=np.int64),
        fill_values=np.empty((2 * decisions, 3)),
        events=np.empty((events, 5), dtype=np.int64),
        event_values=np.empty((events, 2)),
        positions=np.empty((length, columns)),
        funding=np.zeros(paid if len(setup.terms.funding_before) else (0, 0)),
        borrow=np.zeros(paid if len(setup.terms.borrow) else (0, 0)),
    )


def fresh_state(setup: Setup, cash: float) -> tuple[np.ndarray, np.ndarray, Desk]:
    """An account that holds nothing but cash: holdings and pending orders by symbol, and its desk."""
    venues = setup.terms.venues
    holdings, pending = np.zeros(len(venues), dtype=HOLDING), np.zeros(len(venues), dtype=WAITING)
    for name in ("average", "best", "mark", "last_close", "stop", "profit"):
        holdings[name] = np.nan
    holdings["maker"], holdings["taker"] = venues["maker"], venues["taker"]
    never = np.iinfo(np.int64).min // 2
    desk = Desk(
        money=np.array([cash, cash, cash, cash]),
        halted=np.zeros(1, dtype=np.int64),
        sent=np.full(max(setup.limits.orders_per_minute, 1), never, dtype=np.int64),
        sent_at=np.zeros(1, dtype=np.int64),
        traded=np.zeros(31),
        waiting=np.array([len(venues), 0, 0], dtype=np.int64),
    )
    return holdings, pending, desk
