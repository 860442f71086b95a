"""Forecasts and daily values of files, joined to bars: for a backtest once, for a live session at every close.

    files = ForecastFiles(Path("forecasts.parquet"))
    market = files.joined(market)

A file is read when it is first needed, and again when it has changed: who writes forecasts beside a session writes the
file anew (beside, then renamed), and the next decision sees them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import ValidationError

if TYPE_CHECKING:
    from data.market import Market
    from data.predictions import Predictions


class ForecastFiles:
    """See the module.

    Args:
        predictions: a file of forecasts; None for none.
        horizon: how far they look ahead, where the file does not say so.
        delay: from their bar's close to when one may act on them, where the file does not say so.
        daily: a file of daily values; None for none.

    Raises:
        ValidationError: horizon or delay without forecasts.
    """

    def __init__(
        self,
        predictions: Path | None,
        horizon: str | None = None,
        delay: str | None = None,
        daily: Path | None = None,
    ) -> None:
        if predictions is None and (horizon is not None or delay is not None):
            raise ValidationError("--horizon and --delay are about forecasts; name them with --predictions")
        self._predictions, self._horizon, self._delay, self._daily = predictions, horizon, delay, daily
        self._read: dict[Path, tuple[tuple[int, int], Any]] = {}

    def joined(self, market: Market, say: Callable[[str], None] = lambda _: None) -> Market:
        """The market with what the files say; a file without a column `symbol` is of the market's one symbol.

        Args:
            market: the bars.
            say: told what became of the forecasts.

        Raises:
            ValidationError: a file is not there or breaks a rule.
        """
        if self._daily is not None:
            from data.daily import read_daily, with_daily

            market = with_daily(market, self._once(self._daily, read_daily))
        if self._predictions is None:
            return market
        from data.prediction_join import with_predictions

        found = self._once(self._predictions, lambda path: self._made(path, market))
        joined = with_predictions(market, found)
        say(str(joined))
        return joined.market

    def _made(self, path: Path, market: Market) -> Predictions:
        from data.predictions import Predictions
        from data.readers import read_table

        table = read_table(path)
        only = market.symbols[0] if len(market.symbols) == 1 and "symbol" not in table.columns else None
        return Predictions.from_table(
            table,
            market.timeframe,
            symbol=only,
            horizon=self._horizon,
            delay=self._delay,
            model=path.name.partition(".")[0],
            name=str(path),
        )

    def _once(self, path: Path, read: Callable[[Path], Any]) -> Any:
        """What a file holds, read again only where it has changed."""
        try:
            told = path.stat()
        except OSError:
            return read(path)  # which says what is wrong with it
        stamp = told.st_mtime_ns, told.st_size
        known = self._read.get(path)
        if known is None or known[0] != stamp:
            known = self._read[path] = stamp, read(path)
        return known[1]
