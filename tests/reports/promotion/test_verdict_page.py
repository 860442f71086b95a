"""The page that somebody signs: what it says and in which order, that its JSON says the same, and a browser's view."""

from __future__ import annotations

import json
import math
import re
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from data.errors import ValidationError
from reports.promotion.catalogue import CATALOGUE
from reports.promotion.evidence import RUNGS, Measured, missing
from reports.promotion.judging import Override, Verdict
from reports.promotion.policy import Policy
from reports.promotion.records import made
from reports.promotion.verdict_document import json_text, verdict_json
from reports.promotion.verdict_page import verdict_page
from tests.reports.browser import asked_of_the_network, width_in_frame
from tests.reports.promotion.on_record import plain_subject, verdict_on

DAYS = 3_000  # eight years
AT = "2025-11-26T19:20:00+00:00"


def growth(seed: int, days: int = DAYS, **further: Any) -> dict[str, Any]:
    """A growth of 1 by day, as the evidence keeps it."""
    returns = np.random.default_rng(seed).normal(0.0008, 0.02, days)
    index = pd.date_range("2017-01-01", periods=DAYS, freq="D")[-days:]
    return {"days": [f"{day:%Y-%m-%d}" for day in index], "growth": np.cumprod(1.0 + returns).tolist(), **further}


def measured() -> dict[str, Measured]:
    """Measurements of all kinds of charts; some fail, one is missing, one is no number."""
    own = growth(1)
    wealth = np.array(own["growth"])
    depth = wealth / np.maximum.accumulate(np.maximum(wealth, 1.0)) - 1.0
    counts, edges = np.histogram(np.random.default_rng(2).normal(0.3, 0.06, 2_000), bins=40)
    histogram = {"edges": edges.tolist(), "counts": counts.tolist()}
    bell = {"estimate": 1.4, "error": 0.5}
    return {
        "trades": Measured(412.0, "", {f"{year}": 40 + year % 7 for year in range(2017, 2026)}),
        "drawdown": Measured(float(-depth.min()), "2020-03", {**own, "depth": depth.tolist()}),
        "out_of_sample": Measured(0.8, "6 tests", growth(3, 1_500)),
        "better_than_baseline": Measured(0.79996, "SPA p 0.2", growth(4, interval=[-0.1, 0.4, 0.9])),
        "better_than_holding": Measured(0.9, "", growth(5, interval=[0.1, 0.6, 1.1])),
        "probabilistic_sharpe": Measured(0.99, "", {**bell, "against": 0.0}),
        "deflated_sharpe": Measured(0.97, "", {**bell, "against": 0.6}),
        "overfitting": Measured(0.2, "", histogram),
        "capacity": missing("the bars have no volume"),
        "double_costs": Measured(1.1, "", {"1x": 1.4, "2x": 1.1, "3x": 0.8}),
        "break_even": Measured(4.2, "", {"x": [1.0, 2.0, 3.0, 4.2], "y": [0.5, 0.3, 0.1, 0.0]}),
        "late_fills": Measured(0.9, "", {"on time": 1.4, "1 late": 1.26, "2 late": 1.1}),
        "neighbourhood": Measured(0.8, "", {"chosen": 1.4, "fast=3": 1.2, "slow=9": 1.0, "lost": math.nan}),
        "regimes": Measured(1.0, "", {"calm": 0.4, "middle": -0.1, "stormy": -0.2}),
        "years": Measured(math.inf, "there is no profit to divide", {"2017": -0.3, "2018": 0.1}),
        "trade_order": Measured(0.4, "", histogram),
    }


def verdict(**changed: Any) -> Verdict:
    policy = Policy.model_validate({"paper": {"better_than_baseline": 0.8, "trades": 20}})
    return verdict_on(plain_subject(), policy=policy, **{**measured(), **changed})


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return verdict_page(verdict(), tmp_path_factory.mktemp("verdict") / "verdict.html")


@pytest.fixture(scope="module")
def text(written: Path) -> str:
    return written.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def document(written: Path) -> dict[str, Any]:
    def refused(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    return json.loads(written.with_suffix(".json").read_text(encoding="utf-8"), parse_constant=refused)


def quick(judged: Any, folder: Path) -> str:
    """The page as a reader reads it, of a verdict without growth: quantstats takes its time."""
    return verdict_page(judged, folder / "page.html").read_text(encoding="utf-8")


def words(html: str) -> str:
    """What is written, without tags, drawings and doubled blanks."""
    bare = re.sub(r"<svg.*?</svg>|<style>.*?</style>", " ", html, flags=re.DOTALL)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", bare)))


def section(html: str, name: str) -> str:
    return html[html.index(f'id="{name}"') :].split("</section>", 1)[0]


def test_page_comes_in_the_order_in_which_one_decides(text) -> None:
    names = ["verdict", "checks", *(f"check-{check.name}" for check in CATALOGUE["paper"])]
    names += ["figures", "quantstats", "subject", "policy", "signature"]
    places = [text.index(f'id="{name}"') for name in names]
    assert places == sorted(places)


def test_the_verdict_is_a_sentence_that_names_what_stands_in_the_way(text) -> None:
    said = words(section(text, "verdict"))
    assert "May not climb to the paper rung" in said
    assert (
        "Breakout(window=24) may not climb to the paper rung: 4 checks fail (Better than the Hummingbot baseline; "
        "Drawdown; Earns in more than one regime; No single year carries it) and 1 is not shown (Fits the market)."
    ) in said
    assert "15 pass" in said and "4 fail" in said and "1 not shown" in said
    assert "2 thresholds are not the default" in said or "1 threshold is not the default" in said


def test_the_json_says_what_the_page_says(text, document) -> None:
    assert words(section(text, "verdict")).count(document["sentence"]) == 1
    for check in document["checks"]:
        said = words(section(text, f"check-{check['name']}"))
        for part in ("title", "figure", "meaning", "told"):
            assert re.sub(r"\s+", " ", check[part]) in said, (check["name"], part)
        assert f"asked: {check['asked']}" in said
        assert {"pass": "✓ pass", "fail": "✕ fail", "not shown": "? not shown"}[check["outcome"]] in said
    in_table = re.findall(r'<a href="#check-([^"]+)">', section(text, "checks"))
    assert in_table[: len(document["in_the_way"])] == document["in_the_way"]
    assert sorted(in_table) == sorted(check["name"] for check in document["checks"])
    for value in (*document["subject"].values(), document["policy"]["digest"]):
        assert value in words(text)


def test_numbers_that_are_none_are_null_and_told_in_words(document) -> None:
    at = [check["name"] for check in document["checks"]]
    assert document["not_finite"] == {
        f"/checks/{at.index('neighbourhood')}/chart/lost": "not defined",
        f"/checks/{at.index('years')}/value": "infinity",
        "/figures/stats/calmar": "not defined",
    }
    assert document["checks"][at.index("years")]["value"] is None
    assert document["checks"][at.index("years")]["figure"] == "∞"


def test_a_figure_that_misses_its_threshold_does_not_read_like_it(document) -> None:
    check = next(one for one in document["checks"] if one["name"] == "better_than_baseline")
    assert check["outcome"] == "fail" and check["asked"] == "at least 80.0%"
    assert check["figure"] == "79.996%"


def test_every_measurement_that_kept_a_chart_is_drawn_with_words_for_who_cannot_see_it(text, document) -> None:
    for check in document["checks"]:
        drawings = re.findall(r'<svg[^>]*role="img" aria-label="([^"]+)"', section(text, f"check-{check['name']}"))
        assert len(drawings) == bool(check["chart"]), check["name"]
        assert all(len(drawing) > 20 for drawing in drawings)
    curves = re.findall(r'aria-label="([^"]+)"', section(text, "checks"))
    assert len(curves) == 1
    assert all(name in curves[0] for name in ("strategy", "baseline", "holding", "walk-forward"))


def test_policy_has_every_threshold_of_both_rungs(text) -> None:
    said = words(section(text, "policy"))
    for rung in RUNGS:
        for name in type(getattr(Policy(), rung)).model_fields:
            assert next(check.title for check in CATALOGUE[rung] if check.name == name) in said
    trades = re.search(r"Enough trades ≥ 20 ≥ (\d+)", said)
    assert trades and int(trades[1]) == Policy().paper.trades


def test_figures_beside_baseline_and_holding_follow_from_the_growth(text) -> None:
    from engine import metrics

    own, other = (np.diff(np.array([1.0, *growth(seed)["growth"]])) / [1.0, *growth(seed)["growth"]][:-1]
                  for seed in (1, 4))  # fmt: skip
    said = words(section(text, "figures"))
    assert f"Sharpe ratio {metrics.sharpe(own):.2f} {metrics.sharpe(other):.2f}" in said
    quantstats = words(section(text, "quantstats"))
    assert "Beside the baseline" in quantstats and "Beside holding" in quantstats
    assert quantstats.count(f"{metrics.sharpe(own):.2f}") >= 2


def test_identities_are_unique_and_links_lead_somewhere(text) -> None:
    own = text[: text.index('id="quantstats"')]  # quantstats draws with identities of its own
    names = re.findall(r'\sid="([^"]+)"', own)
    assert len(names) == len(set(names))
    targets = set(re.findall(r'href="#([^"]+)"', text)) | set(re.findall(r"url\(#([^)]+)\)", own))
    assert targets <= set(re.findall(r'\sid="([^"]+)"', text))


def test_page_of_eight_years_is_small(written) -> None:
    assert written.stat().st_size < 1_500_000


def test_browser_asks_the_network_for_nothing_and_has_nothing_to_complain_of(written, tmp_path) -> None:
    asked, said = asked_of_the_network(written, tmp_path)
    assert asked == [] and said == []


@pytest.mark.parametrize("width", [390, 1280])
def test_page_is_never_wider_than_the_window(written, tmp_path, width) -> None:
    page, window, scrolling = width_in_frame(written, width, tmp_path, wait=500)
    assert page <= window == width and scrolling == 0


def test_what_persons_write_is_text_and_never_markup(tmp_path) -> None:
    evil = "<script>alert('x')</script><img src=x onerror=alert(1)>\"'&"
    override = Override("drawdown", f"Ann {evil}", f"because {evil}")
    subject = plain_subject(label=f"Sma{evil}", exchange=evil, terms="t", terms_text=json.dumps(evil))
    judged = verdict_on(
        subject,
        overrides=(override,),
        drawdown=Measured(0.9, f"told {evil}"),
        years=Measured(0.5, "", {evil: 0.1, "$x^2$ <b>": 0.2, "год": 0.3}),
    )
    page = quick(judged, tmp_path)
    assert not re.search(r"<(script|img)", page)
    assert "script-src" not in page.split("</head>")[0] and "default-src 'none'" in page
    said = words(page)
    for name in (f"Ann {evil}", f"because {evil}", f"told {evil}", f"Sma{evil}"):
        assert name in said, name
    assert "$x^2$ &lt;b&gt;" in page and "год" in page
    asked, console = asked_of_the_network(tmp_path / "page.html", tmp_path)
    assert asked == [] and console == []
    page_width, window, _ = width_in_frame(tmp_path / "page.html", 390, tmp_path, wait=500)
    assert page_width <= window


def test_overrides_stand_before_the_checks_with_who_and_why(tmp_path) -> None:
    given = (Override("drawdown", "Ann Lee", "sized to a tenth"), Override("capacity", "Bo Chen", "venue B has volume"))
    judged = verdict_on(
        plain_subject(), overrides=given, drawdown=Measured(0.9), capacity=missing("the bars have no volume")
    )
    page = quick(judged, tmp_path)
    said = words(section(page, "verdict"))
    assert (
        "may climb to the paper rung: 18 of 20 checks pass, and the 2 that do not are overridden by Ann Lee and "
        "Bo Chen (Drawdown; Fits the market)."
    ) in said
    waved = words(section(page, "overrides"))
    for part in ("Ann Lee : sized to a tenth", "90.0%, asked: at most", "Bo Chen : venue B has volume", "no volume"):
        assert part in waved
    assert page.index('id="verdict"') < page.index('id="overrides"') < page.index('id="checks"')
    assert "! overridden" in words(section(page, "check-drawdown"))


@pytest.mark.parametrize("rung", RUNGS)
def test_a_verdict_that_passes_says_so(rung, tmp_path) -> None:
    page = quick(verdict_on(plain_subject(), rung), tmp_path)
    count = len(CATALOGUE[rung])
    assert f"may climb to the {rung} rung: all {count} checks pass." in words(section(page, "verdict"))
    assert 'id="overrides"' not in page and "nobody has promoted it yet" in words(page)


def test_a_list_is_shown_item_by_item_and_so_is_the_ground(tmp_path) -> None:
    evil = "<b>limit</b> " + "of_a_very_long_name_that_has_no_blank_" * 4
    items = [{"name": evil, "ok": True, "shown": "0.05"}, {"name": "alerts", "ok": False, "shown": "none was tried"}]
    judged = verdict_on(plain_subject(ground="rehearsal"), "live", checklist=Measured(0.5, "", {"items": items}))
    page = quick(judged, tmp_path)
    listed = words(section(page, "check-checklist"))
    assert "<b>limit</b>" in listed and "✓ 0.05" in listed and "alerts ✕ none was tried" in listed
    assert "it lets nobody trade with money" in words(section(page, "verdict"))
    width, window, scrolling = width_in_frame(tmp_path / "page.html", 390, tmp_path, wait=500)
    assert width <= window and scrolling == 0
    plain = quick(verdict_on(plain_subject(ground="exchange"), "live"), tmp_path)
    assert "it lets nobody trade" not in words(plain)


@pytest.mark.parametrize("as_dict", [False, True])
def test_a_record_gives_the_same_page_and_says_by_whom_and_when(as_dict, tmp_path) -> None:
    given = {"years": Measured(math.inf, "no profit"), "regimes": Measured(1.0, "", {"calm": 0.1, "middle": math.nan})}
    judged = verdict_on(plain_subject(), **given)
    record = made(judged, "Ann Lee", AT)
    held = json.loads(json.dumps(record.content)) if as_dict else record
    told = verdict_json(held)
    assert told["record"] == {
        "digest": record.digest,
        "by": "Ann Lee",
        "at": AT,
        "versions": record.content["versions"],
        "commit": record.content["commit"],
    }
    assert {**told, "record": None} == verdict_json(judged)
    page = quick(held, tmp_path)
    assert "Recorded by Ann Lee, 2025-11-26 19:20 UTC" in words(section(page, "verdict"))
    assert record.digest in section(page, "signature")


def test_the_signature_binds_the_document(tmp_path) -> None:
    from hashlib import sha256

    judged = verdict_on(plain_subject())
    page = quick(judged, tmp_path)
    content = (tmp_path / "page.json").read_bytes()
    assert content.decode() == json_text(verdict_json(judged))
    assert sha256(content).hexdigest() in section(page, "signature")


def test_the_same_verdict_gives_the_same_bytes(tmp_path) -> None:
    judged = verdict_on(plain_subject(), trades=measured()["trades"], trade_order=measured()["trade_order"])
    assert quick(judged, tmp_path) == quick(judged, tmp_path)


def test_a_page_is_named_html_and_written_whole(tmp_path) -> None:
    with pytest.raises(ValidationError, match=r"\.html"):
        verdict_page(verdict_on(plain_subject()), tmp_path / "verdict.json")
    assert list(tmp_path.iterdir()) == []
    quick(verdict_on(plain_subject()), tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["page.html", "page.json"]


def test_results_are_set_side_by_side(make_run, tmp_path) -> None:
    runs = [make_run(600, seed=seed, name=name) for seed, name in ((1, "Breakout"), (2, "Bot"), (3, "Holding"))]
    page = verdict_page(verdict_on(plain_subject()), tmp_path / "page.html", results=runs).read_text(encoding="utf-8")
    said = words(section(page, "figures"))
    assert all(name in said for name in ("Breakout", "Bot", "Holding", "The whole run", "Against the benchmark"))
    with pytest.raises(ValidationError, match="Result"):
        verdict_page(verdict_on(plain_subject()), tmp_path / "page.html", results=["run"])  # type: ignore[list-item]


def test_evidence_that_says_nothing_of_itself_still_has_a_page(tmp_path) -> None:
    page = quick(verdict_on({}), tmp_path)
    assert "does not say what was judged" in words(section(page, "subject"))
