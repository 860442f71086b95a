"""The page: what it says, that it needs no network, and that a browser shows it."""

import re
from dataclasses import replace
from html import unescape

import pytest

from data.errors import ValidationError
from reports import compare, parity, tearsheet
from reports.figures import shown
from tests.reports.browser import chromium, width_in_frame

# Ways in which a page makes a browser fetch something.
LOADS = (
    r"<(?:script|img|iframe|source|video|audio|embed)\b[^>]*\bsrc\s*=\s*[\"']?(?!data:)[^\"'>\s]+",
    r"<link\b[^>]*\bhref\s*=\s*[\"']?(?!data:)[^\"'>\s]+",
    r"<(?:use|image)\b[^>]*\bhref\s*=\s*[\"']?(?!#|data:)[^\"'>\s]+",
    r"@import\b",
)


@pytest.fixture(scope="module")
def run(make_run):
    return make_run(4000, orders=150, symbols=("BTC/USDT", "ETH/USDT"), seed=1)


@pytest.fixture(scope="module")
def baseline(make_run):
    return make_run(3800, seed=2, name="ControllerBaseline(stop_loss=0.03)", broker="hummingbot", start="2023-01-05")


@pytest.fixture(scope="module")
def sheet(run, baseline, make_run, tmp_path_factory):
    path = tmp_path_factory.mktemp("sheet") / "tearsheet.html"
    other = make_run(4000, seed=3, name="Bollinger(window=20)")
    verdict = parity(run, replace(run, broker="paper", equity=run.equity * (1 + 1e-13)))
    assert tearsheet(run, baseline, path, parity=verdict, others=[other]) == path
    return path


@pytest.fixture(scope="module")
def text(sheet):
    return sheet.read_text(encoding="utf-8")


def without_plotly(text):
    """The page without plotly.js, whose source names addresses of maps that this chart never asks for."""
    from plotly.offline import get_plotlyjs

    return text.replace(get_plotlyjs(), "")


def test_page_says_what_ran_on_which_data_at_which_costs(text):
    for fact in (
        "SmaCross(fast=20, slow=50) beside the Hummingbot baseline",
        "research.strategies.sma.SmaCross",
        "fast 20, slow 50",
        "BTC/USDT, ETH/USDT",
        "4,000 bars of 1h, 2023-01-01 00:00 to",
        "0123456789abcdef" * 4,
        "fee 0.001, slippage 0.0005",
        "shorts yes, leverage 1, amount_step 0.001",
        "10,000.00",
        "ladder 0.1.0",
        "ControllerBaseline(stop_loss=0.03) (hummingbot), 3,800 bars of 1h",
    ):
        assert fact in unescape(text), fact


def test_page_holds_the_figures_of_the_comparison(text, run, baseline, make_run):
    comparison = compare([run, make_run(4000, seed=3, name="Bollinger(window=20)")], baseline)
    own, other, benchmark = comparison.table.columns
    beside = comparison.table[[own, benchmark, other]]
    for key in beside.index:
        cells = "".join(f"<td>{shown(key, value)}</td>" for value in beside.loc[key])
        assert cells in text, key
    assert comparison.notes[0] in unescape(text)


def test_page_gives_the_verdict_on_the_engines(text, run):
    assert ">the same</span>" in text
    assert "1.00e-13 relative (tolerance 1e-09)" in text
    assert f"<dd>{len(run.orders):,}</dd>" in text


def test_parity_of_other_runs_never_vouches_for_this_one(run, make_run, tmp_path):
    stranger = make_run(4000, orders=20, seed=9)
    agreed = parity(stranger, replace(stranger, broker="paper"))
    with pytest.raises(ValidationError, match="parity is of other runs"):
        tearsheet(run, path=tmp_path / "tearsheet.html", parity=agreed)
    with pytest.raises(ValidationError, match="two runs by the same engine"):
        tearsheet(run, path=tmp_path / "tearsheet.html", parity=parity(run, run))
    with pytest.raises(ValidationError, match="others must be a list"):
        tearsheet(run, path=tmp_path / "tearsheet.html", others=stranger)
    assert list(tmp_path.iterdir()) == []


def test_sections_come_in_the_order_in_which_one_judges(text):
    places = [text.index(f'id="{name}"') for name in ("verdict", "run", "parity", "figures", "plot", "quantstats")]
    assert places == sorted(places)


def test_page_loads_nothing_from_anywhere(text):
    own = without_plotly(text)
    for pattern in LOADS:
        assert not re.findall(pattern, own, flags=re.IGNORECASE), pattern
    assert not re.findall(r"url\(\s*[\"']?(?:https?:)?//", own)
    assert "default-src 'none'" in own
    assert not re.findall(r"<(?:script|link)\b[^>]*(?:src|href)\s*=\s*[\"']?http", text)


def test_page_stays_below_eight_megabytes_and_holds_plotly_once(text):
    from plotly.offline import get_plotlyjs

    assert len(text.encode()) < 8_000_000
    assert text.count(get_plotlyjs()) == 1


def test_page_is_written_whole_or_not_at_all(run, baseline, sheet, tmp_path, monkeypatch):
    assert [item.name for item in sheet.parent.iterdir()] == ["tearsheet.html"]
    path = tmp_path / "tearsheet.html"
    path.write_text("the old page")
    with pytest.raises(ValidationError):
        tearsheet(run, baseline.equity.tz_localize(None), path)
    assert path.read_text() == "the old page"
    assert [item.name for item in tmp_path.iterdir()] == ["tearsheet.html"]


def test_text_of_names_is_escaped(make_run, tmp_path):
    run = replace(make_run(200, name="<script>alert(1)</script>"), meta={"parameters": {"<i>": "<b>&"}})
    page = tearsheet(run, path=tmp_path / "x.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert "&lt;i&gt; &lt;b&gt;&amp;" in page


def test_failed_parity_shows_the_first_difference(make_run, tmp_path):
    run = make_run(300)
    equity = run.equity.copy()
    equity.iloc[100:] += 1
    verdict = parity(run, replace(run, broker="paper", equity=equity))
    page = tearsheet(run, path=tmp_path / "x.html", parity=verdict).read_text(encoding="utf-8")
    assert '<span class="badge bad">different</span>' in page
    assert verdict.first_difference in unescape(page)


@pytest.mark.parametrize("run_of", [{"bars": 1, "orders": 0}, {"bars": 30, "orders": 0}, {"bars": 900, "orders": 0}])
def test_result_without_trades_or_days_still_gives_a_page(make_run, tmp_path, run_of):
    page = tearsheet(make_run(**run_of), path=tmp_path / "x.html").read_text(encoding="utf-8")
    assert "quantstats is left out" in page
    assert "not checked" in page


def test_benchmark_may_be_a_series_of_returns(make_run, tmp_path):
    run = make_run(600)
    page = tearsheet(run, run.returns.rename("Buy and hold"), tmp_path / "x.html").read_text(encoding="utf-8")
    assert "beside Buy and hold" in page
    assert f"Buy and hold {shown('total_return', run.stats()['total_return'])}: the same." in page


def test_wrong_parity_is_named(make_run, tmp_path):
    with pytest.raises(ValidationError, match="parity"):
        tearsheet(make_run(100), path=tmp_path / "x.html", parity=True)
    assert list(tmp_path.iterdir()) == []


def test_browser_without_network_shows_figures_chart_and_plots(sheet, run, tmp_path):
    page = chromium(
        "--host-resolver-rules=MAP * ~NOTFOUND",
        "--enable-logging=stderr",
        "--window-size=1280,2400",
        "--dump-dom",
        sheet.as_uri(),
        profile=tmp_path / "profile",
    )
    body = page.stdout
    assert f"<td>{shown('final_equity', run.stats()['final_equity'])}</td>" in body
    drawn = body[body.index('id="chart"') :]
    assert "main-svg" in drawn, "plotly has not drawn the chart"
    assert drawn.count('class="trace scatter') >= 5
    assert "Cumulative Returns" in body or body.count("<figure>") >= 8
    refused = [line for line in page.stderr.splitlines() if "Refused to" in line or "Uncaught" in line]
    assert refused == []


@pytest.mark.parametrize("width", [390, 1280])
def test_page_is_never_wider_than_the_window(sheet, tmp_path, width):
    page, window, _ = width_in_frame(sheet, width, tmp_path)
    assert page <= window == width


def test_page_names_barriers_order_style_and_limits_of_the_run(make_run, tmp_path):
    run = make_run()
    terms = {
        "exits": {"stop_loss": 0.05, "take_profit": None, "trailing": [0.03, 0.02], "time_limit": None},
        "order_style": {"offset": 0.001, "alive": 3, "then": "market"},
        "risk": {"max_gross": 0.8, "max_drawdown": None},
    }
    page = tearsheet(replace(run, meta={**run.meta, **terms}), path=tmp_path / "page.html").read_text("utf-8")
    for words in ("Barriers", "stop_loss 0.05", "Limit orders", "alive 3", "Risk limits", "max_gross 0.8"):
        assert words in page
    assert "take_profit" not in page
    bare = tearsheet(run, path=tmp_path / "bare.html").read_text("utf-8")
    assert "Risk limits" not in bare
