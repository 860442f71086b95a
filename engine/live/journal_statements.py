"""The part of a journal that holds what people said of a run, and what they made part of its books without a fill.

A statement says who, when and why: that a strategy goes live without a promotion, that a difference of balances is or
is not the run's, that it is to be stopped or may go on. Like all that a journal holds, it is only ever added to.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from engine.live.books import Adjustment
from engine.live.journal_file import JournalFile, as_text
from engine.live.keys import redacted


class Statement(NamedTuple):
    """What was said: its kind, when (ns), by whom, and the rest."""

    kind: str
    at: int
    who: str
    detail: dict[str, Any]


class Statements(JournalFile):
    """See the module; `Journal` has the rest."""

    def state_that(
        self,
        run: str,
        kind: str,
        who: str,
        detail: Mapping[str, Any] | None = None,
        *,
        adjustments: Iterable[tuple[str, Decimal, str, Decimal | None]] = (),
        balances: Mapping[str, Decimal] | None = None,
        balances_kind: str = "",
    ) -> None:
        """Write down a statement with all that it changes, in one transaction.

        Args:
            run: of which run.
            kind: "adopted", "ignored", "started".
            who: said it.
            detail: and what.
            adjustments: of the run's books: currency, amount, symbol ("" for none), price.
            balances: to record with it.
            balances_kind: under which kind.
        """
        with self._writing():
            at = self._clock()
            self._add("statements", None, run, at, kind, redacted(who), as_text(detail or {}))
            for currency, amount, symbol, price in adjustments:
                told = None if price is None else format(price, "f")
                self._add("adjustments", None, run, at, currency, format(amount, "f"), symbol, told)
            for currency, total in (balances or {}).items():
                self._add("balances", None, run, at, balances_kind, currency, format(total, "f"))

    def statements(self, run: str, kind: str | None = None) -> list[Statement]:
        """What was said of a run, in order; of one kind or of all."""
        rows = self._db.execute(
            "SELECT kind, at, who, detail FROM statements WHERE run = ?1 AND (?2 IS NULL OR kind = ?2) ORDER BY id",
            (run, kind),
        )
        return [Statement(name, at, who, json.loads(detail)) for name, at, who, detail in rows]

    def adjustments(self, run: str, after: int = 0) -> list[Adjustment]:
        """What was made part of a run's books without a fill, in order; those with a number above `after`."""
        rows = self._db.execute(
            "SELECT id, at, currency, amount, symbol, price FROM adjustments WHERE run = ? AND id > ? ORDER BY id",
            (run, after),
        )
        return [
            Adjustment(number, at, currency, Decimal(amount), symbol, None if price is None else Decimal(price))
            for number, at, currency, amount, symbol, price in rows
        ]

    def runs(self) -> list[tuple[str, str, dict[str, Any]]]:
        """Name, exchange and detail of every run, as they were begun; not of those that paper trades beside a run."""
        rows = self._db.execute("SELECT run, exchange, detail FROM runs ORDER BY started_at, rowid")
        found = [(run, exchange, json.loads(detail)) for run, exchange, detail in rows]
        return [one for one in found if "beside" not in one[2]]

    def balances_at(self, run: str, kind: str) -> int | None:
        """When balances were last written down under this kind, ns; None for never."""
        row = self._db.execute("SELECT max(at) FROM balances WHERE run = ? AND kind = ?", (run, kind)).fetchone()
        return None if row[0] is None else int(row[0])

    def order_count(self) -> int:
        """A number that grows with each order that is written down: `late_orders` counts from it."""
        return int(self._db.execute("SELECT coalesce(max(rowid), 0) FROM orders").fetchone()[0])

    def late_order_ids(self, run: str, after: int) -> list[str]:
        """Client ids of a run's orders that were written down after `order_count` said so, in order."""
        rows = self._db.execute("SELECT client_id FROM orders WHERE run = ? AND rowid > ? ORDER BY rowid", (run, after))
        return [str(row[0]) for row in rows]
