"""A model's report for a reader: the sentence that sums it up, a terminal's table, and the page."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from data.atomic import replacing
from reports import page
from reports.figures import minus

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from research.models.prediction_report import ModelReport

_NAMES: Final = {
    "constant": "the symbol's own past quantiles",
    "volatility": "past quantiles scaled by volatility",
}
_SHORT: Final = {"model": "Model", "constant": "Past quantiles", "volatility": "Scaled by volatility"}
_BASIS_POINT: Final = 1e-4
_COLOURS: Final = ("#2563a8", "#d97706", "#15803d", "#7c3aed", "#b4232a", "#0e7490", "#9d174d", "#4d7c0f")
_INK: Final = "#33415c"


def verdict(report: ModelReport) -> str:
    """The outcome in one sentence: against both benchmarks, the harder first, and the median's ranks."""
    clauses = [f"the model's pinball loss is {_against(report, 'volatility')}", _against(report, "constant")]
    clauses.append(_direction(report.ranks.loc["spearman"]))
    inside = report.about["in_sample"]
    warning = f"In the sample of the model ({inside:,} of its rows), so it proves nothing: " if inside else ""
    sentence = "; ".join(clauses)
    return f"{warning}{sentence[0] if warning else sentence[0].upper()}{sentence[1:]}."


def _against(report: ModelReport, name: str) -> str:
    row: Any = report.skill.loc[name]
    loss: Any = report.losses.loc["mean", name]
    low, high = (_percent(row[end] / loss, signed=True) for end in ("low", "high"))
    way = "lower" if row.skill > 0.0 else "higher"
    told = f"{_percent(abs(row.skill))} {way} than that of {_NAMES[name]}"
    told += f" (95% interval of the difference {low} to {high}"
    if not _apart(row):
        told += ", which includes 0: no skill is shown"
    elif row.skill < 0.0:
        told += ": it is worse than no model"
    return f"{told})"


def _direction(rank: Any) -> str:
    if rank.value != rank.value:
        return "the median or the return never varies, so that no direction is told"
    doubt = "" if _apart(rank) else ", which includes 0: it is not shown to tell direction"
    span = f"{_signed(rank.low)} to {_signed(rank.high)}"
    return f"the median's rank correlation with the return is {_signed(rank.value)} (95% interval {span}{doubt})"


def _apart(row: Any) -> bool:
    """Whether an interval lies on one side of 0."""
    return bool(row.low > 0.0 or row.high < 0.0)


def as_text(report: ModelReport) -> str:
    """For a terminal: the verdict, the figures, the notes."""
    about = report.about
    judged = f"{about['rows']:,} predictions ({', '.join(about['symbols'])}; {about['timeframe']})"
    models = f"{about['models']:,} model{'s' if about['models'] != 1 else ''}"
    lines = [
        report.verdict,
        f"{judged}, {_span(report)}, {models}, {about['crossed']:,} crossed",
        "",
        _losses(report).to_string(),
        "",
        _coverage(report).to_string(),
        "",
        _ranks(report).to_string(),
    ]
    return "\n".join([*lines, *(f"note: {note}" for note in report.notes)])


def write_page(report: ModelReport, path: Path) -> Path:
    """Write the page; the path."""
    title = "Quantile forecast against what came"
    about = report.about
    notes = "".join(f'<p class="note">{escape(note)}</p>' for note in report.notes)
    body = "".join(
        [
            f"<h1>{title}</h1>",
            f'<p class="sub">{escape(", ".join(about["symbols"]))} · {about["timeframe"]} bars · {_span(report)}</p>',
            f'<section class="verdict" id="verdict"><p>{escape(report.verdict)}</p></section>',
            _cards(report),
            page.section("What was judged", page.facts(_facts(report)) + notes, "judged"),
            page.section("Pinball loss, basis points", page.frame_table(_losses(report)), "losses"),
            '<div class="columns">',
            page.section("Share of returns at or below", page.frame_table(_coverage(report)), "coverage"),
            page.section("Direction", page.frame_table(_ranks(report)), "ranks"),
            "</div>",
            page.section("Calibration and losses over time", page.chart(figure(report), "calibration"), "plot"),
            page.section("Calibration by symbol and year", page.frame_table(_groups(report)), "groups"),
            page.section("Months", page.frame_table(_months(report)), "months"),
            f"<footer>{escape(_definitions(report))}</footer>",
        ]
    )
    with replacing(path) as temporary:
        temporary.write_text(page.document(title, body), encoding="utf-8")
    return path


def figure(report: ModelReport) -> go.Figure:
    """Four panels: reliability of all rows, by symbol and year, loss by month, coverage of the interval by month."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    panels = (
        "Share of returns below: observed, nominal",
        "Observed minus nominal, by symbol and year",
        "Pinball loss by month, basis points",
        "Share from q10 to q90, by month",
    )
    drawing = make_subplots(rows=4, cols=1, subplot_titles=panels, vertical_spacing=0.07)
    nominal = report.coverage["nominal"].iloc[:3]
    observed = report.coverage.iloc[:3]
    exact = {"mode": "lines", "line": {"color": _INK, "dash": "dot"}, "hoverinfo": "skip"}
    drawing.add_trace(go.Scatter(x=[0, 1], y=[0, 1], name="exact", **exact), row=1, col=1)
    drawing.add_trace(
        go.Scatter(
            x=nominal.tolist(),
            y=observed["observed"].tolist(),
            error_y={
                "array": (observed["high"] - observed["observed"]).tolist(),
                "arrayminus": (observed["observed"] - observed["low"]).tolist(),
            },
            mode="markers+lines",
            name="all rows",
            line={"color": _COLOURS[0]},
        ),
        row=1,
        col=1,
    )
    for number, row in enumerate(report.calibration.itertuples()):
        drawing.add_trace(
            go.Bar(
                x=[f"{level:.0%}" for level in nominal],
                y=[row.q10 - nominal.iloc[0], row.q50 - nominal.iloc[1], row.q90 - nominal.iloc[2]],
                name=str(row.group),
                marker={"color": _COLOURS[number % len(_COLOURS)]},
            ),
            row=2,
            col=1,
        )
    for name, colour in zip(_SHORT, _COLOURS, strict=False):
        losses = (report.months[name] / _BASIS_POINT).tolist()
        line = {"color": colour, "dash": "solid" if name == "model" else "dot"}
        drawing.add_trace(
            go.Scatter(x=report.months.index, y=losses, name=_SHORT[name], mode="lines+markers", line=line),
            row=3,
            col=1,
        )
    drawing.add_trace(
        go.Scatter(
            x=report.months.index,
            y=report.months["inside"].tolist(),
            name="q10 to q90",
            mode="lines+markers",
            line={"color": _COLOURS[0]},
        ),
        row=4,
        col=1,
    )
    drawing.add_hline(y=0.8, line={"color": _INK, "width": 1, "dash": "dot"}, row=4, col=1)
    drawing.update_yaxes(tickformat=".0%", row=1, col=1)
    drawing.update_xaxes(tickformat=".0%", row=1, col=1)
    drawing.update_yaxes(tickformat="+.1%", row=2, col=1)
    drawing.update_yaxes(tickformat=".0%", row=4, col=1)
    drawing.update_layout(
        template="plotly_white",
        height=1200,
        margin={"l": 60, "r": 20, "t": 40, "b": 40},
        legend={"orientation": "h", "y": -0.05, "yanchor": "top"},
    )
    return drawing


def _cards(report: ModelReport) -> str:
    cards = []
    for name in ("volatility", "constant"):
        row = report.skill.loc[name]
        tone = "" if not _apart(row) else "good" if row.skill > 0.0 else "bad"
        cards.append(page.card(f"Skill: {_SHORT[name].lower()}", _percent(row.skill, signed=True), "", tone))
    inside = report.coverage.loc["inside"]
    cards.append(page.card("Returns from q10 to q90", _percent(inside.observed), "nominal 80%"))
    rank, hits = report.ranks.loc["spearman"], report.ranks.loc["hit_rate"]
    span = f"{_signed(rank.low)} to {_signed(rank.high)}"
    cards.append(page.card("Rank correlation of q50", _signed(rank.value), span, "good" if rank.low > 0.0 else ""))
    cards.append(page.card("Hit rate of q50", _percent(hits.value), f"{_percent(hits.low)} to {_percent(hits.high)}"))
    return f'<div class="cards">{"".join(cards)}</div>'


def _facts(report: ModelReport) -> dict[str, str]:
    about = report.about
    return {
        "Predictions": f"{about['rows']:,} of {about['given']:,}, at {about['times']:,} times",
        "Made on": f"{about['first']:%Y-%m-%d %H:%M} to {about['last']:%Y-%m-%d %H:%M} UTC",
        "Horizon": f"{str(about['horizon']).removeprefix('0 days ')} from the bar's close",
        "Models": f"{about['models']:,}",
        "Crossed quantiles": f"{about['crossed']:,}, put in order",
        "In the sample of their model": f"{about['in_sample']:,}",
        "Returns of exactly 0": _percent(about["still"]),
        "Intervals": f"95%, {about['resamples']:,} draws, blocks of {about['block']:.0f} times on average",
    }


def _losses(report: ModelReport) -> pd.DataFrame:
    """Losses in basis points, then the skill of the mean loss with the difference's interval."""
    names = {"q10": "10%", "q50": "50%", "q90": "90%", "mean": "Mean"}
    table = (report.losses / _BASIS_POINT).map(lambda value: f"{value:,.3f}").rename(index=names, columns=_SHORT)
    skill = report.skill
    units = skill[["difference", "low", "high"]] / _BASIS_POINT
    table.loc["Skill"] = ["", *(_percent(value, signed=True) for value in skill["skill"])]
    table.loc["Model's loss − this, bp"] = ["", *(_signed(value) for value in units["difference"])]
    spans = zip(units["low"], units["high"], strict=True)
    table.loc["its 95% interval"] = ["", *(f"{_signed(low)} to {_signed(high)}" for low, high in spans)]
    return table.rename_axis("Quantile")


def _coverage(report: ModelReport) -> pd.DataFrame:
    names = {"q10": "q10", "q50": "q50", "q90": "q90", "inside": "from q10 to q90"}
    return report.coverage.map(_percent).rename(
        index=names, columns={"nominal": "Nominal", "observed": "Observed", "low": "Low", "high": "High"}
    )


def _ranks(report: ModelReport) -> pd.DataFrame:
    rows = {
        "Spearman of q50": [_signed(value) for value in report.ranks.loc["spearman"]],
        "Hit rate": [_percent(value) for value in report.ranks.loc["hit_rate"]],
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=["Value", "Low", "High"])


def _groups(report: ModelReport) -> pd.DataFrame:
    table = report.calibration.set_index("group").rename_axis("Group")
    shares = table[["q10", "q50", "q90", "inside"]].map(_percent).rename(columns={"inside": "q10 to q90"})
    shares.insert(0, "Rows", table["rows"].map("{:,}".format))
    return shares


def _months(report: ModelReport) -> pd.DataFrame:
    months = report.months
    shown = (months[list(_SHORT)] / _BASIS_POINT).map(lambda value: f"{value:,.3f}").rename(columns=_SHORT)
    shown.insert(0, "Rows", months["rows"].map("{:,}".format))
    shown["q10 to q90"] = months["inside"].map(_percent)
    return shown.set_axis([f"{month:%Y-%m}" for month in months.index], axis=0).rename_axis("Month")


def _span(report: ModelReport) -> str:
    return f"{report.about['first']:%Y-%m-%d} to {report.about['last']:%Y-%m-%d}"


def _percent(value: Any, signed: bool = False) -> str:
    if value != value:
        return "–"
    return minus(f"{value:{'+' if signed else ''}.2%}")


def _signed(value: Any) -> str:
    return "–" if value != value else minus(f"{value:+.4f}")


def _definitions(report: ModelReport) -> str:
    return (
        "Pinball loss of quantile q: (q − [return < forecast]) × (return − forecast), the mean over rows. "
        "Skill: 1 − the model's mean loss over the benchmark's. Both benchmarks know the symbol's own past alone: the "
        "quantiles of its returns, or of its returns over volatility times the bar's volatility (24 bars). "
        "Intervals: the middle 95% of a stationary bootstrap that draws whole times in blocks. Hit rate: the share of "
        "rows in which median and return have the same sign; a return of 0 has none and is a miss. "
        f"{report.about['rows']:,} rows of one past: what comes may differ."
    )
