"""The tearsheet: one page that sets a strategy beside its baseline and says how the figures came about.

    tearsheet(result, benchmark=baseline, path="tearsheet.html", parity=parity(result, paper_result))

The page comes in the order in which one judges: the verdict in a sentence, what ran and on which data, whether both
engines agree, the figures side by side, the chart, and the report of quantstats (`reports.quantstats_bridge` says which
of its figures are left out, and why). It is one file and opens without network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from data.atomic import replacing
from data.errors import ValidationError
from engine import metrics
from engine.result import Result
from reports import page
from reports.comparison import Comparison, compare, spread_terms
from reports.figures import NONE, beside_holding, minus, shown, verdict
from reports.parity_check import Parity
from reports.quantstats_bridge import quantstats_section, worst_drawdowns, yearly_returns

if TYPE_CHECKING:
    from reports.hummingbot.on_equal_terms import EqualTerms


def tearsheet(
    result: Result,
    benchmark: Result | pd.Series | EqualTerms | None = None,
    path: str | Path = "tearsheet.html",
    *,
    parity: Parity | None = None,
    others: Sequence[Result] = (),
    holding: Result | None = None,
) -> Path:
    """Write the tearsheet of a result; the path it was written to.

    Args:
        result: the strategy's run.
        benchmark: what it is judged against: the Hummingbot baseline on equal terms (shown as Hummingbot computes it as
            well), another result, or a Series of returns (UTC).
        path: the file; whole or not there at all.
        parity: what `reports.parity` said of this run and the other engine's.
        others: further results for the table of figures.
        holding: what `reports.hold` gave for the same bars: the first paragraph says how the strategy did beside it.

    Raises:
        ValidationError: an argument of the wrong kind, a parity of other runs, or results without a day in common.
    """
    if parity is not None and not isinstance(parity, Parity):
        raise ValidationError(f"tearsheet: parity must be what reports.parity returned, got {type(parity).__name__}")
    if parity is not None and not _is_of(parity, result):
        raise ValidationError(
            f"tearsheet: parity is of other runs ({_sides(parity)}), this one is {result.broker} with "
            f"{len(result.orders):,} orders over {len(result.equity):,} bars; pass parity(result, the other engine's)"
        )
    if parity is not None and parity.brokers == (f"{result.broker} (1)", f"{result.broker} (2)"):
        raise ValidationError(
            f"tearsheet: parity is of two runs by the same engine ({result.broker}), which says nothing of another; "
            "pass parity(result, the other engine's)"
        )
    if not isinstance(others, Sequence):
        raise ValidationError(f"tearsheet: others must be a list of Result, got {type(others).__name__}")
    if holding is not None and not isinstance(holding, Result):
        raise ValidationError(f"tearsheet: holding must be a Result, of reports.hold, got {type(holding).__name__}")
    held = [] if holding is None else [holding]
    comparison = compare([result, *others, *held], benchmark)
    _, benchmark, _ = spread_terms([], benchmark)
    baseline = _baseline_name(benchmark)
    title = result.name if baseline is None else f"{result.name} beside {baseline}"
    own, other = _columns(comparison)
    daily = comparison.returns.iloc[:, 0]
    sentence = verdict(own, other, (result.name, baseline or ""), metrics.sharpe_error(daily))
    if holding is not None:
        sentence += " " + beside_holding(own, comparison.table.iloc[:, 1 + len(others)])
    short = "Baseline" if baseline == _HUMMINGBOT else "Benchmark"
    body = "".join(
        [
            f"<h1>{escape(title)}</h1>",
            f'<p class="sub">{escape(_subtitle(result))}</p>',
            f'<section class="verdict" id="verdict"><p>{escape(sentence)}</p></section>',
            _cards(own, other, short, parity),
            '<div class="columns">',
            page.section("What ran", page.facts(_what_ran(result, benchmark)), "run"),
            page.section("Do both engines agree?", _agreement(parity), "parity"),
            "</div>",
            page.section("Figures side by side", page.comparison_table(comparison), "figures"),
            page.section("Price, fills, equity, drawdown and weights", page.chart(_untitled(result)), "plot"),
            _years_and_drawdowns(comparison, short),
            page.section("quantstats", _quantstats(comparison, short), "quantstats"),
            f"<footer>{escape(_definitions())}</footer>",
        ]
    )
    target = Path(path)
    with replacing(target) as temporary:
        temporary.write_text(page.document(title, body), encoding="utf-8")
    return target


_HUMMINGBOT = "the Hummingbot baseline"


def _is_of(parity: Parity, result: Result) -> bool:
    """Whether the result may be one of the two compared, by what a Parity knows of them."""
    named = {result.broker, f"{result.broker} (1)", f"{result.broker} (2)"}
    sides = zip(parity.brokers, parity.orders, strict=True)
    return parity.bars <= len(result.equity) and any(
        broker in named and orders == len(result.orders) for broker, orders in sides
    )


def _sides(parity: Parity) -> str:
    one, other = (f"{broker} {count:,} orders" for broker, count in zip(parity.brokers, parity.orders, strict=True))
    return f"{one}, {other}, {parity.bars:,} bars compared"


def _baseline_name(benchmark: Result | pd.Series | None) -> str | None:
    if benchmark is None:
        return None
    if isinstance(benchmark, Result):
        return _HUMMINGBOT if "hummingbot" in benchmark.broker.lower() else f"{benchmark.name} ({benchmark.broker})"
    return str(benchmark.name or "the benchmark")


def _columns(comparison: Comparison) -> tuple[pd.Series, pd.Series | None]:
    own = comparison.table.iloc[:, 0]
    return own, None if comparison.benchmark is None else comparison.table[comparison.benchmark]


def _subtitle(result: Result) -> str:
    first, last = result.equity.index[0], result.equity.index[-1]
    symbols = ", ".join(map(str, result.prices.columns))
    return f"{symbols} · {result.timeframe} bars · {first:%Y-%m-%d} to {last:%Y-%m-%d} · run by {result.broker}"


def _cards(own: pd.Series, other: pd.Series | None, short: str, parity: Parity | None) -> str:
    names = {
        "total_return": "Total return",
        "cagr": "CAGR",
        "sharpe": "Sharpe ratio",
        "max_drawdown": "Deepest drawdown",
        "trades": "Closed trades",
    }
    cards = []
    for key, name in names.items():
        aside = "" if other is None else f"{short.lower()} {shown(key, other[key])}"
        value = own[key]
        text = shown(key, value)
        signed = key in ("total_return", "cagr", "sharpe") and any(digit in text for digit in "123456789∞")
        tone = ("good" if value > 0.0 else "bad") if signed else ""
        cards.append(page.card(name, text, aside, tone))
    if parity is not None:
        gap = f"largest difference {minus(f'{parity.largest_difference:.1e}')}"
        cards.append(
            page.card("Engine parity", "same" if parity.ok else "different", gap, "good" if parity.ok else "bad")
        )
    return f'<div class="cards">{"".join(cards)}</div>'


def _untitled(result: Result) -> Any:
    """The result's chart without its title, which is the page's."""
    figure = result.plot()
    return figure.update_layout(title=None, margin={"t": 84 if figure.layout.updatemenus else 50})


def _what_ran(result: Result, benchmark: Result | pd.Series | None) -> dict[str, str]:
    meta, equity = result.meta, result.equity
    rows = {
        "Strategy": str(meta.get("strategy", result.name)),
        "Parameters": _plain(meta.get("parameters")),
        "Broker": result.broker,
        "Symbols": ", ".join(map(str, result.prices.columns)),
        "Data": f"{len(equity):,} bars of {result.timeframe}, {equity.index[0]:%Y-%m-%d %H:%M} to "
        f"{equity.index[-1]:%Y-%m-%d %H:%M} UTC",
        "Data fingerprint": str(meta.get("data", NONE)),
        "Costs": _plain(meta.get("costs")),
        "Venue": _venue(meta.get("venue")),
        **{
            words: _plain({name: value for name, value in meta[key].items() if value is not None})
            for words, key in (("Barriers", "exits"), ("Limit orders", "order_style"), ("Risk limits", "risk"))
            if meta.get(key)
        },
        "Initial cash": f"{result.cash:,.2f}",
        "Versions": _plain(meta.get("versions")),
        "Code": str(meta.get("commit") or "no commit recorded"),
    }
    if isinstance(benchmark, Result):
        span = f"{len(benchmark.equity):,} bars of {benchmark.timeframe}"
        rows["Benchmark"] = f"{benchmark.name} ({benchmark.broker}), {span}, initial cash {benchmark.cash:,.2f}"
        rows["Benchmark’s parameters"] = _plain(benchmark.meta.get("parameters"))
        rows["Benchmark’s costs"] = _plain(benchmark.meta.get("costs"))
    elif benchmark is not None:
        rows["Benchmark"] = f"{benchmark.name or 'benchmark'}, a series of {len(benchmark):,} returns"
    return rows


def _venue(venue: Any) -> str:
    """One venue where all symbols have the same, else each symbol's."""
    if isinstance(venue, Mapping) and venue and all(isinstance(rules, Mapping) for rules in venue.values()):
        rules = list(venue.values())
        if all(item == rules[0] for item in rules):
            return _plain(rules[0])
        return "; ".join(f"{symbol}: {_plain(item)}" for symbol, item in venue.items())
    return _plain(venue)


def _plain(value: Any) -> str:
    if value is None:
        return NONE
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_plain(item)}" for name, item in value.items()) or NONE
    if isinstance(value, list | tuple):
        return ", ".join(_plain(item) for item in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _agreement(parity: Parity | None) -> str:
    if parity is None:
        how = "Pass parity=reports.parity(a, b) to show it."
        return f'<p><span class="badge">not checked</span></p><p class="note">{how}</p>'
    tone, word = ("good", "the same") if parity.ok else ("bad", "different")
    rows = {
        "Engines": f"{parity.brokers[0]} and {parity.brokers[1]}",
        "Bars compared": f"{parity.bars:,}",
        "Largest equity difference": f"{parity.largest_difference:.2e} relative (tolerance {parity.tolerance:.0e})",
        "At bar": NONE if parity.worst_bar is None else f"{parity.worst_bar:%Y-%m-%d %H:%M} UTC",
        "Orders": f"{parity.orders[0]:,} and {parity.orders[1]:,}",
        "Equal one by one": f"{parity.matched:,}",
    }
    first = f"<pre>{escape(parity.first_difference)}</pre>" if parity.first_difference is not None else ""
    return f'<p><span class="badge {tone}">{word}</span></p>{page.facts(rows)}{first}'


def _short_names(comparison: Comparison, short: str) -> dict[str, pd.Series]:
    columns = {"Strategy": comparison.returns.iloc[:, 0]}
    if comparison.benchmark is not None:
        columns[short] = comparison.returns[comparison.benchmark]
    return columns


def _years_and_drawdowns(comparison: Comparison, short: str) -> str:
    columns = _short_names(comparison, short)
    years = yearly_returns(columns).map(lambda value: minus(f"{value:,.2%}")).rename_axis("Year")
    depths = worst_drawdowns(columns["Strategy"])
    rows = [
        [
            f"{row.peak:%Y-%m-%d}",
            f"{row.valley:%Y-%m-%d}",
            _day_or_not_yet(row.recovered),
            f"{row.days:,}",
            minus(f"{row.depth:.2%}"),
        ]
        for row in depths.itertuples()
    ]
    table = page.rows_table(["Peak", "Valley", "Recovered", "Days", "Depth"], rows)
    return (
        '<div class="columns">'
        + page.section("Years", page.frame_table(years), "years")
        + page.section("Worst drawdowns, daily closes", table if rows else '<p class="note">None.</p>', "drawdowns")
        + "</div>"
    )


def _day_or_not_yet(day: Any) -> str:
    return "not yet" if pd.isna(day) else f"{day:%Y-%m-%d}"


def _quantstats(comparison: Comparison, short: str) -> str:
    columns = list(_short_names(comparison, short).values())
    return quantstats_section(columns[0], columns[1] if len(columns) > 1 else None, names=("Strategy", short))


def _definitions() -> str:
    return (
        "Returns are compounded to UTC days; a year has 365 of them; the risk-free rate is 0. "
        "Sharpe: mean over standard deviation of daily returns × √365. Sortino: mean over downside deviation × √365. "
        "CAGR: compounded over days / 365. "
        "Trades are round trips from flat to flat, after fees; open ones are not judged."
    )
