"""The look of a report: one HTML file that holds its styles, scripts and pictures and asks the network for nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pandas as pd

from reports.figures import AGAINST, RUN, SHARED, shown, words

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from reports.comparison import Comparison

# The browser itself refuses whatever is not in the file.
_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data: blob:; font-src data:"
)


# A page that has no script runs none, whoever wrote the names in it.
STATIC: Final = _POLICY.replace("script-src 'unsafe-inline'; ", "")


def document(title: str, body: str, *, style: str = "", policy: str = _POLICY) -> str:
    """The whole file round a body; `style` comes after the style that all reports share."""
    style = Path(__file__).with_name("page.css").read_text(encoding="utf-8") + style
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<title>{escape(title)}</title><style>{style}</style></head>\n<body><main>{body}</main></body></html>\n"
    )


def section(heading: str, body: str, name: str = "") -> str:
    """A block with a heading."""
    identity = f' id="{name}"' if name else ""
    return f"<section{identity}><h2>{escape(heading)}</h2>{body}</section>\n"


def facts(pairs: Mapping[str, str]) -> str:
    """Names and values, one below the other."""
    return (
        "<dl>" + "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in pairs.items()) + "</dl>"
    )


def card(name: str, value: str, aside: str = "", tone: str = "") -> str:
    """One large figure; `tone` is "good", "bad" or nothing."""
    small = f"<small>{escape(aside)}</small>" if aside else ""
    return f'<div class="card"><span>{escape(name)}</span><b class="{tone}">{escape(value)}</b>{small}</div>'


def rows_table(header: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "plain") -> str:
    """A table of text; a row of one cell is the heading of a group. The names of "figures" wrap on a narrow page."""
    head = "".join(f"<th>{breakable(cell)}</th>" for cell in header)
    body = "".join(
        f'<tr class="group"><th colspan="{len(header)}">{escape(row[0])}</th></tr>'
        if len(row) == 1
        else "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll"><table class="{kind}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def breakable(text: str) -> str:
    """Escaped text that may break after a bracket or an equals sign: "SmaCross(fast=20)" is one long word."""
    return escape(text).replace("(", "(<wbr>").replace("=", "=<wbr>")


def comparison_table(comparison: Comparison) -> str:
    """The figures side by side, in groups, and the notes below them."""
    table = comparison.table
    if comparison.benchmark is not None:
        # Beside the first run: on a phone the columns further right are out of sight.
        first, *rest = table.columns
        others = [name for name in rest if name != comparison.benchmark]
        table = table[[first, comparison.benchmark, *others]]
    groups = {
        "Daily returns (UTC days), over the days that all have": SHARED,
        "Against the benchmark, over the same days": AGAINST,
        "The whole run": RUN,
    }
    rows: list[list[str]] = []
    for heading, keys in groups.items():
        present = [key for key in keys if key in table.index]
        if present:
            rows.append([heading])
        rows += [[words(key), *(shown(key, value) for value in table.loc[key])] for key in present]
    notes = "".join(f'<p class="note">{escape(note)}</p>' for note in comparison.notes)
    return notes + rows_table(["", *table.columns], rows, "figures") + _steps(comparison)


def _steps(comparison: Comparison) -> str:
    """How a baseline on equal terms comes about."""
    from reports.comparison import STEPS

    if comparison.steps is None:
        return ""
    return f"<h3>{escape(STEPS)}</h3>" + frame_table(comparison.steps, "told")


def frame_table(frame: pd.DataFrame, kind: str = "plain") -> str:
    """A table of text that has an index worth showing; the last column of "told" is a sentence, which wraps."""
    rows = [[str(label), *map(str, values)] for label, values in zip(frame.index, frame.to_numpy(), strict=True)]
    return rows_table([str(frame.index.name or ""), *map(str, frame.columns)], rows, kind)


def chart(figure: go.Figure, name: str = "chart") -> str:
    """A plotly figure with plotly.js in the file itself, as wide as its place; once a page."""
    from plotly.offline import get_plotlyjs

    config = {"responsive": True, "displaylogo": False, "modeBarButtonsToRemove": ["lasso2d", "select2d"]}
    drawing = figure.to_html(include_plotlyjs=False, full_html=False, div_id=name, config=config)
    return (
        f'<script>{get_plotlyjs()}</script><div class="chart">{drawing}</div><script>{_FIT % {"name": name}}</script>'
    )


# A phone gives the drawing its margins, and the chart follows its place rather than the window.
_FIT: Final = """
(() => {
  const drawing = document.getElementById("%(name)s");
  let width = 0;
  const fit = () => {
    const room = drawing.parentElement.clientWidth;
    if (room === width || !room) return;
    width = room;
    const narrow = width < 560;
    Plotly.relayout(drawing, {width: width, "margin.l": narrow ? 46 : 60, "margin.r": narrow ? 6 : 20,
      "font.size": narrow ? 10 : 12, "xaxis4.nticks": narrow ? 5 : 0});
  };
  new ResizeObserver(fit).observe(drawing.parentElement);
  fit();
})();
"""


def comparison_page(comparison: Comparison) -> str:
    """The page of `Comparison.to_html`."""
    title = "Results side by side"
    names = ", ".join(map(str, comparison.table.columns))
    return document(
        title, f'<h1>{title}</h1><p class="sub">{escape(names)}</p>{section("Figures", comparison_table(comparison))}'
    )
