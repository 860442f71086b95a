"""Fakes of what the real Hummingbot needs: interpreters, compilers, workers; and the real thing for the slow tests."""

import os
import stat
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.errors import LadderError
from reports.hummingbot.real import environment, toolchain
from reports.hummingbot.real.jobs import RealJob

# A Python 3.12 as far as the builder can see. It notes every call, and fails on what FAKE_FAILS names.
FAKE_PYTHON = """#!/bin/sh
echo "$@" >> {calls}
env > {calls}.env
case "$*" in
    *ensurepip*) echo '{{"version": "3.12.9", "headers": "{headers}", "cxx": "g++ -pthread", "executable": "x"}}' ;;
    *venv*) for last; do :; done; mkdir -p "$last/bin"; cp "$0" "$last/bin/python" ;;
esac
sleep {sleeps}
if [ -e {fails} ] && echo "$*" | grep -q -e "$(cat {fails})"; then
    echo "Collecting nothing"
    echo "error: the fake was told to fail"
    exit 3
fi
"""


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


class Machine:
    """A machine with nothing on it but what a test puts there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self.calls = folder / "calls"
        self.fails = folder / "fails"
        self.said: list[str] = []

    def install_python(self, place: str = "bin/python3.12", sleeps: float = 0) -> Path:
        (self.folder / "include").mkdir(exist_ok=True)
        (self.folder / "include" / "Python.h").touch()
        text = FAKE_PYTHON.format(
            calls=self.calls, headers=self.folder / "include", fails=self.fails, sleeps=sleeps or 0
        )
        return program(self.folder / place, text)

    def install(self, place: str, text: str) -> Path:
        return program(self.folder / place, text)

    def install_compiler(self, name: str = "g++", text: str = "#!/bin/sh\nexit 0\n") -> Path:
        return program(self.bin / name, text)

    def calls_of(self, word: str) -> list[str]:
        return [line for line in self.calls.read_text().splitlines() if word in line] if self.calls.exists() else []


@pytest.fixture
def machine(tmp_path, monkeypatch):
    made = Machine(tmp_path)
    made.bin.mkdir()
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("cat", "cp", "env", "grep", "mkdir", "sleep"):
        (tools / name).symlink_to(
            next(Path(place, name) for place in ("/usr/bin", "/bin") if Path(place, name).exists())
        )
    monkeypatch.setenv("PATH", f"{made.bin}{os.pathsep}{tools}")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LADDER_HUMMINGBOT", str(tmp_path / "cache"))
    for name in ("LADDER_PYTHON312", "PYENV_ROOT", "CXX", "CC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(toolchain, "_OWN", None)
    monkeypatch.setattr(toolchain, "_SYSTEM", ())
    return made


@pytest.fixture
def fake_worker(tmp_path):
    """Makes a `python` that runs this test's own program in the worker's place."""

    def make(code: str) -> Path:
        script = tmp_path / "worker.py"
        script.write_text(
            "import json, os, sys, time\nfrom pathlib import Path\nfolder = Path(sys.argv[-2])\n"
            "def say(**event):\n    print(json.dumps(event), flush=True)\n"
            "say(event='network', layers=['none'])\nsay(event='ready', versions={'hummingbot': 'fake'})\n" + code
        )
        return program(tmp_path / "python", f'#!/bin/sh\nexec {sys.executable} -I {script} "$@"\n')

    return make


def walk(bars: int = 50, seed: int = 0, step: str = "1h") -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, bars)))
    opened = np.r_[100.0, close[:-1]]
    wide = np.exp(np.abs(rng.normal(0.0, 0.004, (2, bars))))
    return pd.DataFrame(
        {
            "open": opened,
            "high": np.maximum(opened, close) * wide[0],
            "low": np.minimum(opened, close) / wide[1],
            "close": close,
            "volume": rng.uniform(1.0, 9.0, bars),
        },
        index=pd.date_range("2024-01-01", periods=bars, freq=step, tz="UTC", name="time"),
    )


def signal_job(bars: int = 50, seed: int = 0, **settings) -> RealJob:
    candles = walk(bars, seed)
    signal = pd.Series(np.random.default_rng(seed).choice([-1.0, 0.0, 1.0], bars), index=candles.index)
    return RealJob(candles, "1h", {"total_amount_quote": 1000}, signal=signal, **settings)


@pytest.fixture(scope="session")
def make_candles():
    return walk


@pytest.fixture(scope="session")
def make_job():
    return signal_job


@pytest.fixture(scope="session")
def real_python():
    """The real environment's Python, kept where a user's would be; built the first time, which takes minutes."""
    with pytest.MonkeyPatch.context() as patch:
        # Not in the tests' own cache: each process of theirs has another one.
        patch.delenv("LADDER_CACHE", raising=False)
        python = environment.installed_python()
        if python is not None:
            return python
        try:
            toolchain.compiler_settings(toolchain.find_python())
        except LadderError as error:
            pytest.skip(f"the real Hummingbot cannot be built here: {error}")
        return environment.ready_environment(say=lambda text: sys.stderr.write(f"{text}\n"))
