"""The README keeps its word: its Python runs as it stands, its commands exist, its links lead somewhere."""

import re
import sys
import types
from pathlib import Path

import pytest
from typer.testing import CliRunner

from engine.result import Result
from research.cli import app

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_python_of_the_readme_runs_from_top_to_bottom(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = types.ModuleType("readme")
    monkeypatch.setitem(sys.modules, "readme", module)  # a dataclass looks its module up
    for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
        exec(compile(block, "README.md", "exec"), vars(module))
    assert isinstance(module.run, Result)
    assert len(module.run.orders) > 100
    assert module.parity(module.run, module.bar_by_bar).ok
    assert "the Hummingbot baseline" in Path("breakout.html").read_text(encoding="utf-8")


def test_first_strategy_takes_fifteen_lines():
    block = re.findall(r"```python\n(.*?)```", README, re.DOTALL)[0]
    assert len([line for line in block.splitlines() if line.strip()]) <= 15


@pytest.mark.parametrize("line", sorted(set(re.findall(r"^ladder [^#\n]+", README, re.MULTILINE))))
def test_every_command_of_the_readme_exists_with_its_options(line):
    words = line.split()[1:]
    depth = 2 if words[0] == "data" else 1
    text = CliRunner().invoke(app, [*words[:depth], "--help"], env={"COLUMNS": "200"}).output
    for option in (word for word in words if re.fullmatch(r"--?[a-z][\w-]*", word)):
        assert re.search(rf"(?<![\w-]){option}(?![\w-])", text), f"{option} in {text}"


def test_links_lead_to_files_that_are_there():
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert len(links) > 4
    assert [link for link in links if not (ROOT / link).exists()] == []
