"""The journal: what was decided, sent, answered and filled, on disk before it is acted on.

    with Journal("run.sqlite") as journal:
        journal.start_run("btc-1", "binance")
        ...
        journal.rebuild("btc-1").positions

SQLite in WAL mode: one process writes (a second is refused), any number read while it does (`Journal.reading`). A write
is one transaction and is on the disk (synchronous=FULL) when the method returns, so it survives the death of the
process and of the machine. All text goes through `keys.redacted`: no key is ever written.

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
from engine.live.journal_file import JournalFile, as_text
from engine.live.keys import redacted
from engine.live.order_state import Fill, OrderIntent, State, check_transition


class JournalError(LadderError):
    """Two accounts of the same thing disagree: what the exchange tells now, and what the journal holds."""


class Step(NamedTuple):
    """One step of an order: its state, when it was written (ns), and what else was known."""

    state: State
    at: int
    detail: dict[str, Any]


class Journal(JournalFile):
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
                known = self.intent(intent.client_id)
                if known is None:
                    values = [getattr(intent, one.name) for one in fields(OrderIntent)]
                    self._add("orders", values[0], run, *(_masked(value) for value in values[1:]), self._clock())
                    self._step(intent.client_id, None, State.INTENDED, {})
                elif known != intent:
                    raise ValidationError(
                        f"order {intent.client_id}: the journal has another order of this id ({known}, not {intent}); "
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
        with self._writing():
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
        row = self._db.execute(
            "SELECT state FROM order_steps WHERE client_id = ? ORDER BY id DESC LIMIT 1", (client_id,)
        ).fetchone()
        return None if row is None else State(row[0])

    def intent(self, client_id: str) -> OrderIntent | None:
        """An order as it was meant."""
        rows = self._intents("WHERE client_id = ?", client_id)
        return rows[0] if rows else None

    def orders(self, run: str) -> list[OrderIntent]:
        """Every order of a run, as they were written down."""
        return self._intents("WHERE run = ? ORDER BY orders.rowid", run)

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
        with self._writing():
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
        """Positions, cash, fees and realised profit of a run, from its fills alone."""
        return books_of(self.fills(run))

    # What else happened ------------------------------------------------------------------------------------------

    def record_decision(self, run: str, bar: int, symbol: str, target: float, inputs_hash: str) -> bool:
        """Write down what a bar decided; one that is there already stays. Returns whether it was new.

        Raises:
            JournalError: the same bar decided something else before, or on other inputs.
        """
        key = (run, bar, symbol)
        row = self._db.execute(
            "SELECT target, inputs_hash FROM decisions WHERE run = ? AND bar = ? AND symbol = ?", key
        ).fetchone()
        if row is None:
            self._insert("decisions", *key, repr(float(target)), inputs_hash, self._clock())
            return True
        if row != (repr(float(target)), inputs_hash):
            raise JournalError(
                f"decision of {symbol} at bar {bar}: the journal has target {row[0]} on inputs {row[1]}, "
                f"now it is {target!r} on {inputs_hash}"
            )
        return False

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
        self._insert("risk_events", None, run, self._clock(), kind, symbol, as_text(detail or {}))

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
        self._insert("heartbeats", run, self._clock(), as_text(detail or {}))

    def last_heartbeat(self, run: str) -> int | None:
        """When the session was last alive, ns; None for never."""
        row = self._db.execute("SELECT max(at) FROM heartbeats WHERE run = ?", (run,)).fetchone()
        return None if row[0] is None else int(row[0])

    def record_bar_done(self, run: str, bar: int, state: Mapping[str, Any] | None = None) -> None:
        """Write down that a bar's decisions and orders are all done, and the state that the next one goes on from.

        Told again, the state is the newer one; of earlier bars only the last few are kept.
        """
        with self._writing():
            self._db.execute(
                "INSERT OR REPLACE INTO bars_done VALUES (?, ?, ?, ?)", (run, bar, self._clock(), as_text(state or {}))
            )
            self._db.execute(
                "UPDATE bars_done SET state = '{}' WHERE run = ? AND bar = "
                "(SELECT bar FROM bars_done WHERE run = ? ORDER BY bar DESC LIMIT 1 OFFSET 3)",
                (run, run),
            )

    def turn_state(self, run: str) -> tuple[int, dict[str, Any]] | None:
        """The latest bar that is done (ns), and the state then; None before the first."""
        row = self._db.execute(
            "SELECT bar, state FROM bars_done WHERE run = ? ORDER BY bar DESC LIMIT 1", (run,)
        ).fetchone()
        return None if row is None else (int(row[0]), json.loads(row[1]))

    def decisions_at(self, run: str, bar: int) -> list[tuple[int, str, float, str]]:
        """The decisions of one bar, as `decisions` has them."""
        rows = self._db.execute(
            "SELECT bar, symbol, target, inputs_hash FROM decisions WHERE run = ? AND bar = ? ORDER BY rowid",
            (run, bar),
        )
        return [(time, symbol, float(target), inputs) for time, symbol, target, inputs in rows]

    def last_bar_done(self, run: str) -> int | None:
        """The latest bar that is done, ns; None for none."""
        row = self._db.execute("SELECT max(bar) FROM bars_done WHERE run = ?", (run,)).fetchone()
        return None if row[0] is None else int(row[0])

    # How it is written -------------------------------------------------------------------------------------------

    def _step(self, client_id: str, old: State | None, new: State, detail: Mapping[str, Any]) -> None:
        check_transition(client_id, old, new)
        self._add("order_steps", None, client_id, new.value, self._clock(), as_text(detail))

    def _add_fills(self, fills: Iterable[Fill]) -> int:
        new = 0
        for fill in fills:
            key = (fill.exchange, fill.symbol, fill.trade_id)
            held = self._fills("WHERE exchange = ? AND symbol = ? AND trade_id = ?", *key)
            if not held:
                numbers = (format(one, "f") for one in (fill.price, fill.amount, fill.fee))
                maker = None if fill.maker is None else int(fill.maker)
                self._add(
                    "fills", *key, fill.order_id, fill.side, *numbers, fill.fee_currency, fill.at, maker, self._clock()
                )
                new += 1
            elif _money(held[0]) != _money(fill):
                raise JournalError(f"fill {'/'.join(key)}: the journal has {held[0]}, the exchange now tells {fill}")
        return new

    def _fills(self, rest: str, *values: str) -> list[Fill]:
        names = (
            "fills.exchange, fills.symbol, trade_id, fills.order_id, fills.side, fills.price, fills.amount, fee, "
            "fee_currency, traded_at, maker"
        )
        found = []
        for row in self._db.execute(f"SELECT {names} FROM fills {rest}", values):  # noqa: S608  (texts of ours)
            exchange, symbol, trade_id, order_id, side, price, amount, fee, currency, at, maker = row
            money = Decimal(price), Decimal(amount), Decimal(fee)
            resting = None if maker is None else bool(maker)
            found.append(Fill(exchange, symbol, trade_id, order_id, side, *money, currency, at, resting))
        return in_order(found)

    def _intents(self, rest: str, value: str) -> list[OrderIntent]:
        names = [one.name for one in fields(OrderIntent)]
        rows = self._db.execute(f"SELECT {', '.join(names)} FROM orders {rest}", (value,))  # noqa: S608  (as above)
        return [
            OrderIntent(**{**dict(zip(names, row, strict=True)), "post_only": bool(row[names.index("post_only")])})
            for row in rows
        ]


def _money(fill: Fill) -> tuple[object, ...]:
    return (fill.order_id, fill.side, fill.price, fill.amount, fill.fee, fill.fee_currency)


def _masked(value: Any) -> Any:
    return redacted(value) if isinstance(value, str) else value
