"""The files that a strategy is made of: all that it imports of ours and the user's, the same on every machine."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest

from data import ValidationError
from reports.promotion.lock_file import default_lock, pins
from reports.promotion.source_closure import _owners, engine_files, source_closure
from research.evidence.stress import Delayed
from research.strategies import QuantileSignal, SmaCross
from tests.reports.promotion.on_record import LOCK, strategy_of, write_desk

PINNED = pins(default_lock().read_bytes())


@pytest.fixture
def desk(tmp_path, monkeypatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path / "here")
    write_desk(tmp_path / "here")
    return tmp_path / "here"


def rewritten(desk: Path, text: str, name: str = "Breakout") -> dict[str, str]:
    """The closure once the strategy's file begins with some lines more."""
    file = desk / "breakout.py"
    file.write_text(text + file.read_text())
    return source_closure(strategy_of(file, name), PINNED)


def test_closure_is_the_strategys_file_and_what_it_imports(desk):
    found = source_closure(strategy_of(desk / "breakout.py"), PINNED)
    assert list(found) == ["breakout.py", "desk/__init__.py", "desk/levels.py"]
    assert found["desk/levels.py"] == sha256((desk / "desk" / "levels.py").read_bytes()).hexdigest()


def test_closure_is_the_same_in_another_folder_at_another_time(desk, tmp_path, monkeypatch):
    found = source_closure(strategy_of(desk / "breakout.py"), PINNED)
    shutil.copytree(desk, tmp_path / "there", copy_function=shutil.copyfile)
    shutil.rmtree(desk)
    monkeypatch.syspath_prepend(tmp_path / "there")
    assert source_closure(strategy_of(tmp_path / "there" / "breakout.py"), PINNED) == found


def test_imports_count_wherever_they_stand_and_those_for_a_type_checker_do_not(desk):
    for name in ("inside", "typed", "named", "chosen", "beside"):
        (desk / "desk" / f"{name}.py").write_text("from . import beside\n" if name == "inside" else "")
    text = (
        "from typing import TYPE_CHECKING\nimport importlib\n"
        "if TYPE_CHECKING:\n    from desk import typed\nelse:\n    from desk import chosen\n"
        "def later():\n    from desk.inside import x\n    importlib.import_module('desk.named')\n"
    )
    found = rewritten(desk, text)
    assert {"desk/inside.py", "desk/beside.py", "desk/named.py", "desk/chosen.py"} <= set(found)
    assert "desk/typed.py" not in found


def test_an_import_whose_name_is_made_as_it_runs_is_refused_by_file_and_line(desk):
    with pytest.raises(ValidationError, match=r"breakout\.py:2: import_module imports what is only known"):
        rewritten(desk, "from importlib import import_module\nlater = lambda name: import_module(name)\n")


def test_a_name_of_a_lazy_package_brings_its_module_and_not_the_others(desk):
    base = "from research.strategies import SmaCross\nclass Mine(SmaCross):\n    pass\n"
    found = rewritten(desk, base, "Mine")
    assert "research/strategies/sma.py" in found
    assert "research/strategies/bollinger.py" not in found
    found = rewritten(desk, "from research.strategies import SmaRsi\n")
    assert "research/strategies/sma_rsi.py" in found and "research/strategies/bollinger.py" not in found
    # Who holds the package may use any name of it.
    assert "research/strategies/bollinger.py" in rewritten(desk, "from research import strategies\n")


def test_ours_are_followed_and_what_the_lock_or_the_engine_has_is_not():
    found = source_closure(QuantileSignal(), PINNED)
    assert {"research/strategies/quantile.py", "research/features/regime.py", "research/sizing.py"} <= set(found)
    assert all(name.startswith("research/") for name in found)
    assert "research/strategies/sma.py" not in found


def test_classes_of_parameters_count(desk):
    held = source_closure(Delayed(strategy_of(desk / "breakout.py"), 1), PINNED)
    assert {"breakout.py", "desk/levels.py", "research/evidence/stress.py"} <= set(held)


def test_an_installed_package_that_the_lock_does_not_pin_is_in_it_with_what_it_requires(
    desk, tmp_path, monkeypatch, request
):
    for name, need in (("edge", "spare>=1"), ("spare", "numpy")):
        place = tmp_path / "site-packages"
        (place / name).mkdir(parents=True)
        (place / name / "__init__.py").write_text("x = 1\n")
        (place / f"{name}-1.0.dist-info").mkdir()
        (place / f"{name}-1.0.dist-info" / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nRequires-Dist: {need}\n"
        )
        record = f"{name}/__init__.py,,\n{name}-1.0.dist-info/RECORD,,\n"
        (place / f"{name}-1.0.dist-info" / "RECORD").write_text(record)
    monkeypatch.syspath_prepend(place)
    request.addfinalizer(_owners.cache_clear)
    _owners.cache_clear()
    found = rewritten(desk, "import edge\n")
    kept = "edge 1.0 (installed, not in requirements.lock)"
    assert kept in found and "spare 1.0 (installed, not in requirements.lock)" in found
    (place / "edge" / "__init__.py").write_text("x = 2\n")
    assert source_closure(strategy_of(desk / "breakout.py"), PINNED)[kept] != found[kept]
    # Once the lock pins them, the lock stands for them.
    assert kept not in source_closure(strategy_of(desk / "breakout.py"), {*PINNED, "edge"})


def test_a_class_of_no_file_is_refused(monkeypatch):
    @dataclass(frozen=True)
    class Typed(SmaCross):
        pass

    Typed.__module__ = "typed_at_a_prompt"
    with pytest.raises(ValidationError, match="no file holds its source"):
        source_closure(Typed(), PINNED)


def test_a_file_that_is_no_python_is_named(desk):
    strategy = strategy_of(desk / "breakout.py")
    (desk / "desk" / "levels.py").write_text("def ceiling(:\n")
    with pytest.raises(ValidationError, match=r"levels\.py: cannot be read as Python"):
        source_closure(strategy, PINNED)


def test_engine_has_every_source_of_both_packages():
    found = engine_files()
    assert {"engine/rules.py", "engine/live/gateway.py", "data/market.py", "engine/__init__.py"} <= set(found)
    assert {name.partition("/")[0] for name in found} == {"data", "engine"}
    root = Path(__file__).resolve().parents[3]
    assert found["engine/rules.py"] == sha256((root / "engine" / "rules.py").read_bytes()).hexdigest()


def test_pins_of_a_lock_by_package():
    found = pins((LOCK + "numpy==2.2.1 ; python_version < '3.11' \\\n    --hash=sha256:dd\n").encode())
    assert {name: version for name, (version, _) in found.items()} == {
        "numpy": "2.4.0 or 2.2.1 ; python_version < '3.11'",
        "pandas": "3.0.1 ; python_version >= '3.11'",
    }
