"""A real bot's history: the trades that Hummingbot recorded, read into tables, and as an account beside a strategy's.

    from reports.hummingbot.records import baseline_from_trades, read_trades

    history = read_trades("data/conf_v2_quantile.sqlite")      # or its trades_*.csv, or what `export trades` wrote
    history.fills                                               # one row per fill, UTC
    result = baseline_from_trades(history.select(bot="conf_v2_quantile"), market, cash=1_000.0)   # an engine.Result

`docs/hummingbot-records.md` tells the kinds of file and what each of them loses.
"""

from typing import TYPE_CHECKING

from data.lazy import lazy_names

if TYPE_CHECKING:
    from reports.hummingbot.records.account import baseline_from_trades
    from reports.hummingbot.records.history import TradeHistory
    from reports.hummingbot.records.trade_files import read_trades

_HOMES = {
    "TradeHistory": "reports.hummingbot.records.history",
    "baseline_from_trades": "reports.hummingbot.records.account",
    "read_trades": "reports.hummingbot.records.trade_files",
}

__all__ = ["TradeHistory", "baseline_from_trades", "read_trades"]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
