"""The journal: what was decided, sent, answered and filled, on disk before it is acted on.

    with Journal("run.sqlite") as journal:
        journal.start_run("btc-1", "binance")
        ...
        journal.rebuild("btc-1").positions

SQLite in WAL mode: one process writes (a second is refused), any number read while it does (`Journal.reading`). A write
is one transaction; when the method returns it survives the death of the process. Before an order leaves, and at the end
of a bar, all that was written is on the disk (synchronous=FULL) and survives the death of the machine. What only an
exchange has told, or can be decided once more, is not waited for by itself: it is on the disk with the next of those.
All text goes through `keys.redacted`: no key is ever written.

Two rules hold of every journal, whatever happened to the process that wrote it: an order was written as `sent` before
the first request for it left; and one that is `filled` or `cancelled` was written so in the same transaction as the
last of its fills. So an order whose last step is not final is all that a restart has to look up, and no fill is missed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from decimal import Decimal
from typing import Any, NamedTuple

from data.errors import LadderError, ValidationError
from engine.live.books import Books, books_of, in_order
from engine.live.journal_file import as_text
from engine.live.journal_statements import Statements
from engine.live.keys import redacted
from engine.live.order_state import Fill, OrderIntent, State, check_transition

_NAMES = tuple(one.name for one in fields(OrderIntent))
_FLAGS = ("post_only", "reduce_only")


class JournalError(LadderError):
    """Two accounts of the same thing disagree: what the exchange tells now, and what the journal holds."""


class Step(NamedTuple):
    """One step of an order: its state, when it was written (ns), and what else was known."""

    state: State
    at: int
    detail: dict[str, Any]


class Journal(Statements):
    """A journal that this process writes; `reading` opens one that another writes.

    Args and errors as of `JournalFile`.
    """

    # Orders ------------------------------------------------------------------------------------------------------

    def start_run(self, run: str, exchange: str, detail: Mapping[str, Any] | None = None) -> None:
        """Begin a run, or take up the one of this name again.

        Raises:
            ValidationError: a run of this name was begun on another exchange.
        """
        known = self._db.execute("SELECT exchange FROM runs WHERE run = ?", (run,)).fetchone()
        if known is None:
            self._insert("runs", run, exchange, self._clock(), as_text(detail or {}))
        elif known[0] != exchange:
            raise ValidationError(
                f"run {run!r} was begun on {known[0]}, not on {exchange}; give the new one another name"
            )

    def intend(self, run: str, intents: Sequence[OrderIntent], *, sent: Mapping[str, Any] | None = None) -> set[str]:
        """Write down orders before anything leaves, all in one transaction; those that are there already stay.

        Args:
            run: the run that decided them.
            intents: what is meant.
            sent: detail of the step `sent`, written in the same transaction to those that are new or only intended.

        Returns:
            The client ids that were taken to `sent` now: their requests may leave.

        Raises:
            ValidationError: an order of the same id is there and says something else.
        """
        taken = set()
        with self._writing():
            for intent in intents:
                name, *rest = [getattr(intent, one) for one in _NAMES]
                row = [_masked(value) for value in rest]
                if self._add("orders", name, run, *row, self._clock(), unless_there=True):
                    self._step(name, None, State.INTENDED, {})
                    if row == rest:
                        self._recent.keep(name, intent)
                elif (known := self.intent(name)) != intent:
                    raise ValidationError(
                        f"order {name}: the journal has another order of this id ({known}, not {intent}); "
                        "an order that differs needs another leg or attempt"
                    )
                if sent is not None and (state := self.state(intent.client_id)) is State.INTENDED:
                    self._step(intent.client_id, state, State.SENT, sent)
                    taken.add(intent.client_id)
        return taken

    def step(
        self,
        client_id: str,
        state: State,
        detail: Mapping[str, Any] | None = None,
        *,
        fills: Iterable[Fill] = (),
        order_ids: Iterable[str] = (),
        exchange: str = "",
    ) -> bool:
        """Take an order one step on, with the fills and the exchange's ids that came with it, in one transaction.

        To be told the state it is in already adds no step, but for `sent`: each request has its own.

        Returns:
            Whether a step was added.

        Raises:
            StateError: the table of `order_state` has no such step.
            JournalError: a fill differs from what the journal holds under its id.
        """
        with self._writing(soon=state is not State.SENT):
            intent = self.intent(client_id)
            if intent is None:
                raise ValidationError(f"order {client_id}: not in the journal; write it down by intend() first")
            for order_id in order_ids:
                self._db.execute(
                    "INSERT OR IGNORE INTO order_ids VALUES (?, ?, ?, ?)",
                    (exchange, intent.symbol, order_id, client_id),
                )
            self._add_fills(fills)
            old = self.state(client_id)
            if old is state and state is not State.SENT:
                return False
            self._step(client_id, old, state, detail or {})
            return True

    def state(self, client_id: str) -> State | None:
        """Where an order is; None for one that is not in the journal."""
        state: State | None = self._recent.get(("state", client_id))
        if state is None:
            row = self._db.execute(
                "SELECT state FROM order_steps WHERE client_id = ? ORDER BY id DESC LIMIT 1", (client_id,)
            ).fetchone()
            if row is not None:
                state = State(row[0])
                self._recent.keep(("state", client_id), state)
        return state

    def intent(self, client_id: str) -> OrderIntent | None:
        """An order as it was meant."""
        intent: OrderIntent | None = self._recent.get(client_id)
        if intent is None:
            intent = next(iter(self._intents("WHERE client_id = ?", client_id)), None)
            if intent is not None:
                self._recent.keep(client_id, intent)
        return intent

    def orders(self, run: str) -> list[OrderIntent]:
        """Every order of a run, as they were written down."""
        return self._intents("WHERE run = ? ORDER BY orders.rowid", run)

    def orders_at(self, run: str, bar: int) -> list[OrderIntent]:
        """The orders of a run that a bar decided, as they were written down."""
        return self._intents("WHERE run = ? AND bar = ? ORDER BY orders.rowid", run, bar)

    def unsettled(self, run: str) -> list[OrderIntent]:
        """The orders of a run that are at no final state: what a restart has to look up."""
        last = "(SELECT state FROM order_steps WHERE client_id = orders.client_id ORDER BY id DESC LIMIT 1)"
        ended = ", ".join(f"'{state.value}'" for state in State if state.final)
        return self._intents(f"WHERE run = ? AND {last} NOT IN ({ended}) ORDER BY orders.rowid", run)

    def steps(self, client_id: str) -> list[Step]:
        """Every step of an order."""
        rows = self._db.execute(
            "SELECT state, at, detail FROM order_steps WHERE client_id = ? ORDER BY id", (client_id,)
        )
        return [Step(State(state), at, json.loads(detail)) for state, at, detail in rows]

    def order_ids(self, client_id: str) -> tuple[str, ...]:
        """The exchange's ids of an order."""
        rows = self._db.execute("SELECT order_id FROM order_ids WHERE client_id = ? ORDER BY rowid", (client_id,))
        return tuple(row[0] for row in rows)

    def owner(self, exchange: str, symbol: str, order_id: str) -> str | None:
        """Whose order has this id at the exchange; None for none of ours."""
        row = self._db.execute(
            "SELECT client_id FROM order_ids WHERE exchange = ? AND symbol = ? AND order_id = ?",
            (exchange, symbol, order_id),
        ).fetchone()
        return None if row is None else str(row[0])

    # Fills -------------------------------------------------------------------------------------------------------

    def record_fills(self, fills: Iterable[Fill], cursor: Fill | None = None) -> int:
        """Write down fills, each once however often it is told; `cursor`: all up to this one are now known.

        Returns:
            How many were new.

        Raises:
            JournalError: a fill differs from what the journal holds under its id.
        """
        with self._writing(soon=True):
            new = self._add_fills(fills)
            if cursor is not None:
                row = (cursor.exchange, cursor.symbol, cursor.trade_id, cursor.at)
                self._db.execute("INSERT OR REPLACE INTO cursors VALUES (?, ?, ?, ?)", row)
            return new

    def cursor(self, exchange: str, symbol: str) -> tuple[str, int] | None:
        """Trade id and time (ms) up to which all fills of a symbol are known; None before the first."""
        row = self._db.execute(
            "SELECT trade_id, traded_at FROM cursors WHERE exchange = ? AND symbol = ?", (exchange, symbol)
        ).fetchone()
        return None if row is None else (str(row[0]), int(row[1]))

    def fills(self, run: str) -> list[Fill]:
        """Every fill of a run's orders, as they traded."""
        return self._fills(
            "JOIN order_ids USING (exchange, symbol, order_id) JOIN orders USING (client_id) WHERE run = ?", run
        )

    def fills_of(self, client_id: str) -> tuple[Fill, ...]:
        """The fills of one order, as they traded."""
        return tuple(self._fills("JOIN order_ids USING (exchange, symbol, order_id) WHERE client_id = ?", client_id))

    def fills_by_order(self, exchange: str, symbol: str, order_id: str) -> list[Fill]:
        """The fills of one order by the exchange's id, whoever sent it."""
        key = (exchange, symbol, order_id)
        return self._fills("WHERE fills.exchange = ? AND fills.symbol = ? AND fills.order_id = ?", *key)

    def foreign_fills(self) -> list[Fill]:
        """Fills of orders that no run has sent: a person's, or another program's."""
        return self._fills("LEFT JOIN order_ids USING (exchange, symbol, order_id) WHERE order_ids.client_id IS NULL")

    def rebuild(self, run: str) -> Books:
        """Positions, cash, fees and realised profit of a run, from its fills, and what a person has adopted beside."""
        return books_of(self.fills(run), self.adjustments(run))

    # What else happened ------------------------------------------------------------------------------------------

    def record_decision(self, run: str, bar: int, symbol: str, target: float, inputs_hash: str) -> bool:
        """As `record_decisions`, of one symbol. Returns whether it was new."""
        return self.record_decisions(run, bar, {symbol: target}, inputs_hash) == 1

    def record_decisions(self, run: str, bar: int, targets: Mapping[str, float], inputs_hash: str) -> int:
        """Write down what a bar decided, by symbol; one that is there already stays. Returns how many were new.

        Raises:
            JournalError: the same bar decided something else before, or on other inputs.
        """
        known = {symbol: (target, inputs) for _, symbol, target, inputs in self._decisions(run, bar)}
        at, new = self._clock(), 0
        with self._writing(soon=True):
            for symbol, target in targets.items():
                told = repr(float(target)), inputs_hash
                if symbol not in known:
                    self._add("decisions", run, bar, symbol, *told, at)
                    new += 1
                elif known[symbol] != told:
                    raise JournalError(
                        f"decision of {symbol} at bar {bar}: the journal has target {known[symbol][0]} on inputs "
                        f"{known[symbol][1]}, now it is {target!r} on {inputs_hash}"
                    )
        return new

    def decisions(self, run: str) -> list[tuple[int, str, float, str]]:
        """Bar (ns), symbol, target and hash of the inputs of every decision of a run."""
        rows = self._db.execute(
            "SELECT bar, symbol, target, inputs_hash FROM decisions WHERE run = ? ORDER BY rowid", (run,)
        )
        return [(bar, symbol, float(target), inputs) for bar, symbol, target, inputs in rows]

    def record_balances(self, run: str, kind: str, totals: Mapping[str, Decimal]) -> None:
        """Write down what the account holds by currency; `kind` says when: "opening", "seen"."""
        at = self._clock()
        with self._writing():
            for currency, total in totals.items():
                self._add("balances", None, run, at, kind, currency, format(total, "f"))

    def balances(self, run: str, kind: str) -> dict[str, Decimal]:
        """What was written down last under this kind; empty where nothing was."""
        rows = self._db.execute(
            "SELECT currency, total FROM balances WHERE run = ?1 AND kind = ?2 AND at = "
            "(SELECT max(at) FROM balances WHERE run = ?1 AND kind = ?2) ORDER BY id",
            (run, kind),
        )
        return {currency: Decimal(total) for currency, total in rows}

    def record_risk_event(self, run: str, kind: str, symbol: str = "", detail: Mapping[str, Any] | None = None) -> None:
        """Write down that a risk limit blocked, cut or halted something."""
        with self._writing(soon=True):
            self._add("risk_events", None, run, self._clock(), kind, symbol, as_text(detail or {}))

    def record_incident(self, run: str, kind: str, detail: Mapping[str, Any] | None = None) -> None:
        """Write down what went wrong, and a person should know."""
        self._insert("incidents", None, run, self._clock(), kind, as_text(detail or {}))

    def incidents(self, run: str) -> list[tuple[str, dict[str, Any]]]:
        """Kind and detail of every incident of a run."""
        rows = self._db.execute("SELECT kind, detail FROM incidents WHERE run = ? ORDER BY id", (run,))
        return [(kind, json.loads(detail)) for kind, detail in rows]

    def risk_events(self, run: str) -> list[tuple[str, str, dict[str, Any]]]:
        """Kind, symbol and detail of every risk event of a run."""
        rows = self._db.execute("SELECT kind, symbol, detail FROM risk_events WHERE run = ? ORDER BY id", (run,))
        return [(kind, symbol, json.loads(detail)) for kind, symbol, detail in rows]

    def heartbeat(self, run: str, detail: Mapping[str, Any] | None = None) -> None:
        """Write down that the session is alive."""
        with self._writing(soon=True):
            self._add("heartbeats", run, self._clock(), as_text(detail or {}))

    def last_heartbeat(self, run: str) -> int | None:
        """When the session was last alive, ns; None for never."""
        row = self._db.execute("SELECT max(at) FROM heartbeats WHERE run = ?", (run,)).fetchone()
        return None if row[0] is None else int(row[0])

    def heartbeats(self, run: str) -> list[dict[str, Any]]:
        """What was written with each sign of life of a run, in order."""
        rows = self._db.execute("SELECT detail FROM heartbeats WHERE run = ? ORDER BY rowid", (run,))
        return [json.loads(detail) for (detail,) in rows]

    def record_bar_done(
        self, run: str, bar: int, state: Mapping[str, Any] | None = None, beat: Mapping[str, Any] | None = None
    ) -> None:
        """Write down that a bar's decisions and orders are all done, and the state that the next one goes on from.

        Told again, the state is the newer one; of earlier bars only the last few are kept. `beat` is the detail of a
        sign of life in the same transaction.
        """
        with self._writing():
            if beat is not None:
                self._add("heartbeats", run, self._clock(), as_text(beat))
            self._db.execute(
                "INSERT OR REPLACE INTO bars_done VALUES (?, ?, ?, ?)", (run, bar, self._clock(), as_text(state or {}))
            )
            self._db.execute(
                "UPDATE bars_done SET state = '{}' WHERE run = ? AND bar = "
                "(SELECT bar FROM bars_done WHERE run = ? ORDER BY bar DESC LIMIT 1 OFFSET 3)",
                (run, run),
            )
        self.tidy()

    def turn_state(self, run: str) -> tuple[int, dict[str, Any]] | None:
        """The latest bar that is done (ns), and the state then; None before the first."""
        row = self._db.execute(
            "SELECT bar, state FROM bars_done WHERE run = ? ORDER BY bar DESC LIMIT 1", (run,)
        ).fetchone()
        return None if row is None else (int(row[0]), json.loads(row[1]))

    def decisions_at(self, run: str, bar: int) -> list[tuple[int, str, float, str]]:
        """The decisions of one bar, as `decisions` has them."""
        return [(time, symbol, float(target), inputs) for time, symbol, target, inputs in self._decisions(run, bar)]

    def last_bar_done(self, run: str) -> int | None:
        """The latest bar that is done, ns; None for none."""
        row = self._db.execute("SELECT max(bar) FROM bars_done WHERE run = ?", (run,)).fetchone()
        return None if row[0] is None else int(row[0])

    # How it is written -------------------------------------------------------------------------------------------

    def _decisions(self, run: str, bar: int) -> list[tuple[int, str, str, str]]:
        return self._db.execute(
            "SELECT bar, symbol, target, inputs_hash FROM decisions WHERE run = ? AND bar = ? ORDER BY rowid",
            (run, bar),
        ).fetchall()

    def _step(self, client_id: str, old: State | None, new: State, detail: Mapping[str, Any]) -> None:
        check_transition(client_id, old, new)
        self._recent.keep(("state", client_id), new)
        self._add("order_steps", None, client_id, new.value, self._clock(), as_text(detail))

    def _add_fills(self, fills: Iterable[Fill]) -> int:
        new = 0
        for fill in fills:
            key = (fill.exchange, fill.symbol, fill.trade_id)
            numbers = (format(one, "f") for one in (fill.price, fill.amount, fill.fee))
            maker = None if fill.maker is None else int(fill.maker)
            profit = None if fill.profit is None else format(fill.profit, "f")
            rest = (fill.order_id, fill.side, *numbers, fill.fee_currency, fill.at, maker, profit, self._clock())
            if self._add("fills", *key, *rest, unless_there=True):
                new += 1
                continue
            held = self._fills("WHERE exchange = ? AND symbol = ? AND trade_id = ?", *key)[0]
            if _money(held) != _money(fill):
                raise JournalError(f"fill {'/'.join(key)}: the journal has {held}, the exchange now tells {fill}")
        return new

    def _fills(self, rest: str, *values: str) -> list[Fill]:
        names = (
            "fills.exchange, fills.symbol, trade_id, fills.order_id, fills.side, fills.price, fills.amount, fee, "
            "fee_currency, traded_at, maker, profit"
        )
        found = []
        for row in self._db.execute(f"SELECT {names} FROM fills {rest}", values):  # noqa: S608  (texts of ours)
            exchange, symbol, trade_id, order_id, side, price, amount, fee, currency, at, maker, profit = row
            money = Decimal(price), Decimal(amount), Decimal(fee)
            resting = None if maker is None else bool(maker)
            gain = None if profit is None else Decimal(profit)
            found.append(Fill(exchange, symbol, trade_id, order_id, side, *money, currency, at, resting, gain))
        return in_order(found)

    def _intents(self, rest: str, *values: str | int) -> list[OrderIntent]:
        rows = self._db.execute(f"SELECT {', '.join(_NAMES)} FROM orders {rest}", values)  # noqa: S608  (as above)
        told = (dict(zip(_NAMES, row, strict=True)) for row in rows)
        return [OrderIntent(**{**one, **{name: bool(one[name]) for name in _FLAGS}}) for one in told]


def _money(fill: Fill) -> tuple[object, ...]:
    return (fill.order_id, fill.side, fill.price, fill.amount, fill.fee, fill.fee_currency)


def _masked(value: Any) -> Any:
    return redacted(value) if isinstance(value, str) else value
