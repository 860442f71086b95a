"""The project's own promises: what imports what, which names are public, what a tracked file may hold."""

import importlib
import re
import shutil
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("apprise", "backtrader", "ccxt", "matplotlib", "quantstats", "vectorbt")
PUBLIC = {
    "data": (
        *("Market", "load_candles", "load_sample", "read_candles", "validate_candles"),
        *("Predictions", "read_predictions", "with_predictions", "read_daily", "with_daily"),
        *("FilePredictions", "ModelPredictions", "TopicPredictions"),
    ),
    "engine": (
        *("Costs", "Exits", "LimitOrders", "Result", "RiskLimits", "SquareRootImpact", "Strategy", "Venue"),
        *("backtest", "check_causality", "paper"),
    ),
    "engine.live": ("run_live", "run_paper_live"),
    "reports": (
        *("Evidence", "Measured", "Override", "Policy", "Verdict", "compare", "demote", "gate", "hold", "keep_verdict"),
        *("parity", "promote", "read_policy", "subject_of", "tearsheet", "verdict_page"),
    ),
    "reports.hummingbot": (
        *("ControllerBaseline", "read_controller", "equal_terms", "run_real", "check_baseline"),
        *("read_trades", "baseline_from_trades"),
    ),
    "research": ("WalkForwardPlan", "indicator", "sweep", "trials", "walk_forward"),
    "research.models": ("QuantileModel", "WalkForwardPlan", "walk_forward_predictions", "model_report"),
    "research.strategies": ("QuantileSignal", "SmaCross", "SmaRsi"),
}
GPL_FILES = {"engine/event_driven.py", "engine/paper_broker.py", "engine/paper_feed.py"}


def modules_after(code: str) -> set[str]:
    """Top-level modules that a fresh Python has loaded once it has run `code`."""
    script = f"{code}\nimport sys\nprint('\\n'.join(sorted(name.partition('.')[0] for name in sys.modules)))"
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return set(run.stdout.split())


def tracked_files() -> list[Path]:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git clone: which files are tracked is not known")
    # Those not added yet count too, unless ignored: what is wrong with them is best known before.
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in names.split("\0") if name and (ROOT / name).is_file()]


def tracked_texts() -> dict[str, str]:
    texts = {}
    for path in tracked_files():
        content = path.read_bytes()
        if b"\0" not in content:
            texts[path.relative_to(ROOT).as_posix()] = content.decode()
    assert "pyproject.toml" in texts
    return texts


@pytest.mark.parametrize(("module", "name"), [(module, name) for module, names in PUBLIC.items() for name in names])
def test_public_name_can_be_imported_and_is_listed(module, name):
    package = importlib.import_module(module)
    assert hasattr(package, name)
    assert name in package.__all__


@pytest.mark.parametrize(
    "module", ["data", "engine", "engine.live.paper_live", "reports", "research", "research.strategies"]
)
def test_import_of_a_package_loads_no_heavy_library(module):
    assert modules_after(f"import {module}").isdisjoint(HEAVY)


def test_help_loads_neither_a_heavy_library_nor_pandas():
    code = (
        "from typer.testing import CliRunner\n"
        "from research.cli import app\n"
        "result = CliRunner().invoke(app, ['--help'])\n"
        "assert result.exit_code == 0, result.output\n"
        "assert 'demo' in result.output, result.output"
    )
    assert modules_after(code).isdisjoint({*HEAVY, "numba", "numpy", "pandas", "plotly", "pyarrow"})


@pytest.mark.parametrize(("broker", "absent"), [("backtest", "backtrader"), ("paper", "vectorbt")])
def test_each_broker_runs_without_the_library_of_the_other(broker, absent):
    code = f"""
import sys
sys.modules[{absent!r}] = None
import numpy as np, pandas as pd
from data import Market
from engine import {broker}
from research.strategies import SmaCross
index = pd.date_range("2024-01-01", periods=60, freq="1h", tz="UTC", name="time")
close = 100 + 10 * np.sin(np.arange(60) / 5)
bars = pd.DataFrame({{"open": close, "high": close, "low": close, "close": close, "volume": 1.0}}, index=index)
result = {broker}(SmaCross(3, 8), Market.from_frames({{"BTC/USDT": bars}}, timeframe="1h"))
assert len(result.orders) > 1
"""
    assert absent not in modules_after(code + "del sys.modules[" + repr(absent) + "]")


def test_public_names_stay_what_they_are_once_the_engines_are_loaded():
    # A module of ours that is named as a function is would take its place when it is first imported.
    import engine
    from engine import brokers

    for name in ("engine.event_driven", "engine.vectorized", "reports.parity_check", "reports.tearsheet_page"):
        importlib.import_module(name)
    assert engine.backtest is brokers.backtest
    assert engine.paper is brokers.paper
    for module, names in PUBLIC.items():
        package = importlib.import_module(module)
        assert [name for name in names if type(getattr(package, name)) is type(importlib)] == []


def test_command_ladder_is_the_one_of_pyproject():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    module, _, attribute = project["scripts"]["ladder"].partition(":")
    assert callable(getattr(importlib.import_module(module), attribute))


def test_no_tracked_file_names_a_registry_or_a_path_of_one_machine():
    hosts = ["py" + "pi.org", "pythonhosted" + ".org", "files.python" + "hosted", "conda" + ".anaconda"]
    paths = [r"(?<![\w./-])/" + folder + r"/\w" for folder in ("root", "work", "home")]
    forbidden = re.compile("|".join([re.escape(host) for host in hosts] + paths))
    found = [
        f"{name}:{number}: {line.strip()[:100]}"
        for name, text in tracked_texts().items()
        for number, line in enumerate(text.splitlines(), start=1)
        if forbidden.search(line)
    ]
    assert found == []


def test_lock_of_another_tool_is_not_tracked():
    # It would pin the same things a second time, and with a registry's address.
    assert not {path.name for path in tracked_files()} & {"uv.lock", "poetry.lock", "Pipfile.lock"}


def test_lock_pins_what_pyproject_asks_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [Requirement(line) for line in project["dependencies"]]
    wanted += [Requirement(line) for extra in project["optional-dependencies"].values() for line in extra]
    pins: dict[str, list[str]] = {}
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        if pin := re.match(r"([\w.-]+)==([^\s;\\]+)", line):
            pins.setdefault(_canonical(pin[1]), []).append(pin[2])
    missing = [str(need) for need in wanted if _canonical(need.name) not in pins]
    outside = [
        f"{need}: {version}"
        for need in wanted
        for version in pins.get(_canonical(need.name), [])
        if not need.specifier.contains(version, prereleases=True)
    ]
    assert (missing, outside) == ([], []), "run `make lock`"


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_each_pin_has_a_hash():
    lock = (ROOT / "requirements.lock").read_text()
    entries = re.split(r"\n(?=[A-Za-z0-9])", "\n" + lock)[1:]
    assert len(entries) > 50
    assert [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry] == []


def test_gpl_header_stands_in_the_files_that_subclass_backtrader_and_in_no_other():
    header = "SPDX-License-" + "Identifier: GPL-3.0-or-later"
    code = {name: text for name, text in tracked_texts().items() if name.endswith(".py")}
    assert {name for name, text in code.items() if header in text} == GPL_FILES
    imports = re.compile(r"^\s*(import|from) backtrader\b", re.MULTILINE)
    shipped = {name for name in code if name.partition("/")[0] in ("data", "engine", "reports", "research")}
    assert {name for name in shipped if imports.search(code[name])} == GPL_FILES


def test_another_machine_is_out_of_reach():
    with socket.socket() as outside, pytest.raises(RuntimeError, match="tests may reach"):
        outside.connect(("192.0.2.1", 80))
    with pytest.raises(RuntimeError, match="tests may reach"):
        socket.getaddrinfo("example.org", 443)


def test_another_machine_is_out_of_reach_of_aiohttp_too():
    import asyncio

    import aiohttp

    async def visit(url):
        async with aiohttp.ClientSession() as session, session.get(url):
            pass

    for url in ("http://192.0.2.1/", "http://example.org/"):
        with pytest.raises(RuntimeError, match="tests may reach"):
            asyncio.run(visit(url))


def test_another_machine_is_out_of_reach_of_a_python_that_a_test_starts():
    code = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=5)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode != 0
    assert "tests may reach" in run.stderr


def test_this_machine_is_in_reach():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("localhost", port), timeout=5) as client:
            connection, _ = server.accept()
            connection.sendall(b"here")
            connection.close()
            assert client.recv(4) == b"here"
