"""A live session held to the band of its promotion: who leaves it is taken off the ladder, and halts.

    watch = BandWatch(standing, run="btc-1", timeframe="1h", cash=10_000.0)
    await run_live(..., follow=watch)

The band is the tracking error that the promotion allowed (`reports.promotion.tracking`); what the session is held
against is paper beside it, on the same bars and decisions (`engine.live.shadow`). What was seen is the promotion's and
not the run's: it is kept beside the records, so that no new run begins with a clean slate, and one session at a time
trades by a promotion. A promotion that is taken back while a session trades ends it at its next close.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from data.atomic import replacing
from data.errors import ValidationError
from engine.live.file_lock import lock_file
from reports.promotion.climbing import Standing, halt
from reports.promotion.registry import Registry
from reports.promotion.tracking import Follower, Tracking, band_of

_LOG = logging.getLogger(__name__)


class BandWatch:
    """What `run_live` tells of each close; close it, or let the process end.

    Args:
        standing: the promotion that the session runs by.
        run: of the session.
        timeframe: of its bars.
        cash: that the run began with, quote currency.
        rehearsal: whether it trades on a rehearsal exchange: there a promotion for a real account is not taken back.
        registry: the folder of records; None for the default one.

    Attributes:
        band: largest tracking error, annualised, a fraction of equity.
        seen: how it follows; None before the first close.

    Raises:
        ValidationError: the promotion is not one to live, its band was left before, or another session runs by it.
    """

    def __init__(
        self,
        standing: Standing,
        *,
        run: str,
        timeframe: str,
        cash: float,
        rehearsal: bool = False,
        registry: str | Path | None = None,
    ) -> None:
        event, record = standing.event, standing.record
        self._line, self._record, self._run = event.line, record.digest, run
        self._book = Registry(registry)
        self._binds = (record.subject.get("ground") == "rehearsal") is rehearsal
        self._path = self._book.folder / f"follow-{record.digest[:16]}.json"
        self._lock = None
        if self._binds:
            self._lock = lock_file(
                self._book.folder / f"follow-{self._line}.lock",
                f"strategy {self._line}: another session trades by the same promotion; end that one first",
            )
        self.band, told = band_of(record), self._kept()
        if told.get("left"):
            self.close()
            raise ValidationError(f"{event.label}: {told['left']}; promote it again (`ladder promote`)")
        self._follower = Follower(self.band, timeframe, state=told.get("follower"))
        self._runs: dict[str, dict[str, Any]] = told.get("runs", {})
        self._before = (cash, cash)
        self._left = ""
        self.seen: Tracking | None = None

    @property
    def told(self) -> str:
        """The band in words."""
        return f"a tracking error of {self.band:.2%} a year against paper on the same bars"

    def __call__(self, bar: int, ours: float, paper: float, again: bool) -> str | None:
        """A close: what each is worth, quote currency; why the session is to end, where it is to.

        Args:
            bar: opening time, ns.
            ours: the session's equity, without what persons have paid in or taken out.
            paper: the paper run's.
            again: whether an earlier process of the run has had it: then it is only where the next one starts from.
        """
        before, self._before = self._before, (ours, paper)
        if again or bar <= self._runs.get(self._run, {}).get("bar", 0):
            return None
        self.seen = self._follower.add(_growth(ours, before[0]), _growth(paper, before[1]))
        self._runs[self._run] = {"bar": bar}
        why = self._gone()
        if self.seen.left and not self._left:
            why = self._left = self._leave(self.seen)
        self._keep(self._left)
        return why

    def close(self) -> None:
        """Let another session run by the promotion."""
        if self._lock is not None:
            self._lock.close()

    def _leave(self, seen: Tracking) -> str:
        why = f"it no longer follows its backtest: {seen.told}"
        if not self._binds:
            return f"{why}; its promotion is of another ground, and stays"
        self._keep(why)  # before the registry, which another process may hold
        try:
            event = halt(self._line, self._book.folder, reason=why)
        except ValidationError as error:  # a person was faster, or the registry cannot be written: it ends all the same
            return f"{why} ({error})"
        return f"{why}; taken off the rung {event.rung}"

    def _gone(self) -> str | None:
        """Why the promotion is none any more; None while it stands."""
        if not self._binds or self._left:
            return None
        try:
            event = self._book.standings().get(self._line)
        except ValidationError as error:
            _LOG.warning("whether the promotion stands is not known: %s", error)
            return None
        if event is not None and event.standing == "live" and event.record == self._record:
            return None
        what = "gone" if event is None else f"{event.event} by {event.by} at {event.at[:16]} ({event.reason})"
        return f"its promotion is taken back: {what}"

    def _kept(self) -> dict[str, Any]:
        if not self._binds or not self._path.is_file():
            return {}
        try:
            found: dict[str, Any] = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValidationError(f"{self._path}: what is known of the band cannot be read ({error})") from error
        return found

    def _keep(self, left: str) -> None:
        if self._binds:
            told = {"left": left, "runs": self._runs, "follower": self._follower.state}
            with replacing(self._path) as beside:
                beside.write_text(json.dumps(told), encoding="utf-8")


def _growth(now: float, before: float) -> float:
    """The return of a bar; no number where there was nothing, which has left every band."""
    return now / before - 1.0 if before > 0.0 else float("nan")
