"""The notebooks keep their word: each runs offline from top to bottom, says what it promises, and leaves no trace."""

from __future__ import annotations

import json
import os
import re
from functools import cache
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "notebooks"
NAMES = ("direct-exchange", "quickstart")

# What the notebook's own variables say at its end, as JSON: appended to the copy that is run.
FACTS = {
    "quickstart": """
        "causal": causality.ok and causality.fits_live,
        "caught": not caught.ok and bool(caught.violations),
        "candles are valid": all(check.ok for check in checks),
        "orders": len(result.orders),
        "parity": agreement.ok,
        "orders of both engines": list(agreement.orders),
        "unexplained": abs(statement["unexplained"]),
        "sets": [len(tried.table), len(later.table)],
        "record": tried.record == folder / "trials.sqlite" and tried.record.exists(),
        "page": page.read_text(encoding="utf-8")[:15],
    """,
    "direct-exchange": """
        "parity": [old_agreement.ok, agreement.ok],
        "reasons": reasons.to_dict(),
        "worth": [worth.min(), worth.max()],
        "largest rounding": float(spot["BTC/USD"].amount_step * market.close.max().max()),
        "training ends before the test": bool((walk.folds["known_at"] < walk.folds["test_from"]).all()),
        "in sample": report.about["in_sample"],
        "verdict of the report": report.verdict,
        "forecasts": int(joined.report["forecast"].min()),
        "known from": str(known.index[0]),
        "too early": int(direct.orders["decided_at"].lt(walk.table["made_on"].min()).sum()),
        "orders": len(direct.orders),
        "columns": list(comparison.table.columns),
        "thresholds": list(thresholds),
        "verdict": verdict,
        "ahead": [bool(own[key] > other[key]) for key in ("total_return", "sharpe")],
        "requests": {
            symbol: [request["side"].lower(), float(request["quantity"])] for symbol, request in requests.items()
        },
        "orders of the bar": {row.Index: [row.side, row.amount] for row in same_bar.itertuples()},
        "ids": [request["newClientOrderId"] for request in requests.values()],
        "same ids again": [order_id(run, bar, symbol) for symbol in requests],
        "other bar's ids": [order_id(run, bar + pd.Timedelta(hours=1), symbol) for symbol in requests],
        "keys": [exchange.apiKey, exchange.secret],
        "message": message,
        "forecast": records.set_index("made_on").loc[bar, ["q10", "q50", "q90"]].tolist(),
    """,
}


@cache
def committed(name: str) -> Any:
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=nbformat.NO_CONVERT)


def files_of_the_repository() -> set[Path]:
    """All but caches, which any Python leaves: folders that begin with a dot, and __pycache__."""
    found: set[Path] = set()
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [name for name in folders if not name.startswith(".") and name != "__pycache__"]
        found |= {Path(folder) / name for name in (*folders, *files)}
    return found


@pytest.fixture(scope="module", params=NAMES)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A notebook that was run in a folder of its own: its name, cells, facts, and the files that it left behind."""
    name: str = request.param
    folder = tmp_path_factory.mktemp(name)
    work, temporary = folder / "work", folder / "temporary"
    work.mkdir()
    temporary.mkdir()
    copy = nbformat.from_dict(committed(name))
    probe = f"import json\nprint(json.dumps({{{FACTS[name]}}}, default=float))"
    copy.cells = [*copy.cells, nbformat.v4.new_code_cell(probe)]
    before = files_of_the_repository()
    with pytest.MonkeyPatch.context() as patch:
        # Of the user's own settings, kernels and history the run knows nothing, and leaves nothing there.
        for variable in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "TMPDIR"):
            patch.setenv(variable, str(temporary))
        patch.setenv("LADDER_TRIALS", str(temporary / "of-the-user.sqlite"))
        patch.delenv("PLOTLY_RENDERER", raising=False)
        client = nbclient.NotebookClient(
            copy, timeout=300, kernel_name="python3", allow_errors=False, resources={"metadata": {"path": str(work)}}
        )
        client.execute()
    *cells, last = copy.cells
    return {
        "name": name,
        "cells": cells,
        "facts": json.loads("".join(output["text"] for output in last.outputs)),
        "left in the repository": files_of_the_repository() - before,
        "left in its folder": list(work.iterdir()),
        "left to the user": (temporary / "of-the-user.sqlite").exists(),
    }


def outputs_of(run: Any) -> list[Any]:
    return [output for cell in run["cells"] if cell.cell_type == "code" for output in cell.outputs]


def printed(run: Any) -> str:
    return "\n".join(output["text"] for output in outputs_of(run) if output.output_type == "stream")


def texts_of(run: Any) -> str:
    """What is printed, and every result as text."""
    results = [output["data"].get("text/plain", "") for output in outputs_of(run) if "data" in output]
    return "\n".join([printed(run), *results])


def test_every_notebook_of_the_folder_is_run() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_committed_notebook_is_valid_and_holds_nothing_of_a_run(name: str) -> None:
    notebook = committed(name)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata.kernelspec.name == "python3"
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(code) > 10
    assert [cell.id for cell in code if cell.outputs or cell.execution_count is not None] == []
    assert [cell.id for cell in notebook.cells if cell.metadata] == []


@pytest.mark.parametrize("name", NAMES)
def test_cells_are_named_for_what_they_do(name: str) -> None:
    names = [cell.id for cell in committed(name).cells]
    assert len(set(names)) == len(names)
    assert [one for one in names if not re.fullmatch(r"[a-z]+(-[a-z]+)*(-\d+)?", one)] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_section_is_told_in_words_before_it_is_shown(name: str) -> None:
    kinds = [cell.cell_type for cell in committed(name).cells]
    assert kinds[0] == kinds[-1] == "markdown"
    assert kinds.count("markdown") >= kinds.count("code") / 2


def test_no_cell_raises_or_warns(run: Any) -> None:
    kinds = {output.output_type for output in outputs_of(run)}
    assert "error" not in kinds
    assert [output["text"] for output in outputs_of(run) if output.get("name") == "stderr"] == []
    assert not re.search(r"Traceback|\w*Warning\b", texts_of(run))


def test_every_cell_that_should_show_something_does(run: Any) -> None:
    """A cell that ends in an expression or prints: all but definitions and assignments."""
    for cell in run["cells"]:
        if cell.cell_type == "code" and not re.match(r"@dataclass|def ", cell.source):
            assert cell.outputs, f"{cell.id} shows nothing"


def test_figures_and_tables_are_shown_as_notebooks_show_them(run: Any) -> None:
    kinds = [kind for output in outputs_of(run) if "data" in output for kind in output["data"]]
    assert kinds.count("application/vnd.plotly.v1+json") >= 3
    assert kinds.count("text/html") >= 4


def test_no_file_is_left(run: Any) -> None:
    assert run["left in the repository"] == set()
    assert run["left in its folder"] == []
    assert not run["left to the user"], "a sweep was recorded among the user's own trials"


of_quickstart = pytest.mark.parametrize("run", ["quickstart"], indirect=True)
of_direct_exchange = pytest.mark.parametrize("run", ["direct-exchange"], indirect=True)


@of_quickstart
def test_quickstart_shows_what_it_says(run: Any) -> None:
    facts = run["facts"]
    assert facts["causal"] and facts["caught"] and facts["candles are valid"]
    assert facts["orders"] > 100
    assert facts["parity"] and facts["orders of both engines"] == [facts["orders"]] * 2
    assert facts["unexplained"] < 1e-6
    assert facts["sets"] == [56, 56] and facts["record"]
    assert facts["page"].lower() == "<!doctype html>"
    said = printed(run)
    assert "no row changes, and 336 bars are enough" in said
    assert "looks ahead" in said
    assert "Parity of backtest and paper: the same" in said
    assert "The best of 56 sets in the first year" in said


def test_strategy_of_the_quickstart_takes_ten_lines_beside_its_head() -> None:
    source = next(cell.source for cell in committed("quickstart").cells if cell.id == "strategy-1")
    _, _, body = source.partition("class Surge(Strategy):\n")
    assert len([line for line in body.splitlines() if line.strip()]) <= 10


@of_direct_exchange
def test_old_bot_is_done_right(run: Any) -> None:
    facts = run["facts"]
    assert facts["parity"] == [True, True]
    assert facts["reasons"]["stop loss"] > 10 and facts["reasons"]["take profit"] > 10
    least, most = facts["worth"]
    assert 100.0 - facts["largest rounding"] <= least <= most <= 100.0 + 1e-9


@of_direct_exchange
def test_forecast_is_out_of_sample_and_joined_as_of_when_it_was_known(run: Any) -> None:
    facts = run["facts"]
    assert facts["training ends before the test"] and facts["in sample"] == 0
    assert facts["verdict of the report"] in printed(run)
    assert facts["forecasts"] > 10_000
    assert facts["too early"] == 0 and facts["orders"] > 100


@of_direct_exchange
def test_hummingbot_stands_beside_the_direct_path_and_the_sentence_follows_the_figures(run: Any) -> None:
    facts = run["facts"]
    assert facts["columns"][0] == "direct · backtest"
    assert [column for column in facts["columns"] if column.startswith("ai_livestream")] == facts["columns"][1:]
    assert len(facts["columns"]) == 3
    begins = {2: "The direct path was ahead: ", 1: "Neither was ahead on both counts: ", 0: "Hummingbot was ahead: "}
    assert facts["verdict"].startswith(begins[sum(facts["ahead"])])
    assert "one path of" in facts["verdict"] and facts["verdict"] in printed(run)
    assert len(facts["thresholds"]) == 3


@of_direct_exchange
def test_request_is_the_backtests_order_and_nothing_is_sent(run: Any) -> None:
    facts = run["facts"]
    assert facts["requests"] and facts["requests"] == facts["orders of the bar"]
    assert facts["ids"] == facts["same ids again"]
    assert not set(facts["ids"]) & set(facts["other bar's ids"])
    assert all(re.fullmatch(r"[.A-Z:/a-z0-9_-]{1,36}", one) for one in facts["ids"]), "Binance takes no other ids"
    assert not any(facts["keys"])


@of_direct_exchange
def test_message_to_hummingbot_holds_the_forecast_of_that_bar(run: Any) -> None:
    facts = run["facts"]
    message = facts["message"]
    assert (message["pair"], message["kind"], message["horizon"]) == ("BTC/USDT", "replay", 6 * 3600.0)
    assert list(message["raw_quantiles"].values()) == facts["forecast"]
    assert sum(message["probabilities"]) == pytest.approx(1.0, abs=1e-9)


@of_direct_exchange
def test_rehearsal_sends_the_orders_to_a_local_exchange_and_all_holds(run: Any) -> None:
    said = printed(run)
    assert "Rehearsal of QuantileSignal" in said and ": all holds" in said
    assert "faults injected    0" not in said
