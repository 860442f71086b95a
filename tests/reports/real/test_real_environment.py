"""The environment is built once, whole or not at all, by one process at a time; fakes stand for Python and pip."""

import subprocess
import sys
from pathlib import Path

import pytest

from data.errors import LadderError
from reports.hummingbot.real import environment
from reports.hummingbot.real.environment import installed_python, ready_environment

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def ready_machine(machine):
    machine.install_python()
    machine.install_compiler()
    return machine


def test_environment_is_built_once_and_every_step_is_told(ready_machine):
    said = []
    python = ready_environment(say=said.append)
    assert python == installed_python()
    assert python.is_relative_to(ready_machine.folder / "cache")
    assert "about 5 minutes" in said[0]
    assert "log: " in said[0]
    assert [text[:8] for text in said if text.startswith("[")] == [f"[{step} of 4]"[:8] for step in (1, 2, 3, 4)]
    again = []
    assert ready_environment(say=again.append) == python
    assert again == []
    assert len(ready_machine.calls_of("-m venv")) == 1


def test_every_file_is_checked_against_its_hash(ready_machine):
    ready_environment()
    installs = ready_machine.calls_of("-m pip install")
    assert len(installs) == 2
    assert all("--require-hashes" in call for call in installs)
    for name in ("requirements.txt", "build-requirements.txt"):
        text = (Path(environment.__file__).parent / name).read_text()
        pinned = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
        assert all("==" in line for line in pinned)
        assert text.count("--hash=sha256:") >= len(pinned)
    assert (
        f"hummingbot=={environment.HUMMINGBOT} " in (Path(environment.__file__).parent / "requirements.txt").read_text()
    )


def test_settings_of_the_user_that_lead_an_install_elsewhere_are_left_out(ready_machine, monkeypatch):
    for name in ("PYTHONPATH", "PIP_TARGET", "PIP_USER", "VIRTUAL_ENV"):
        monkeypatch.setenv(name, "stray")
    monkeypatch.setenv("PIP_INDEX_URL", "https://mirror.example/simple")
    ready_environment()
    seen = Path(f"{ready_machine.calls}.env").read_text()
    assert "stray" not in seen
    assert "PIP_INDEX_URL=https://mirror.example/simple" in seen


def test_step_that_fails_is_an_error_with_its_log_and_the_log_s_last_lines(ready_machine):
    ready_machine.fails.write_text("no-build-isolation")
    with pytest.raises(LadderError) as raised:
        ready_environment()
    text = str(raised.value)
    assert "[3 of 4]" in text
    assert "ended with code 3" in text
    assert "error: the fake was told to fail" in text
    log = Path(text.partition("The whole log: ")[2].partition("\n")[0])
    assert "Collecting nothing" in log.read_text()
    assert installed_python() is None


def test_build_that_was_interrupted_is_made_anew(ready_machine):
    ready_machine.fails.write_text("no-build-isolation")
    with pytest.raises(LadderError):
        ready_environment()
    (folder,) = [path for path in (ready_machine.folder / "cache").iterdir() if path.is_dir()]
    (folder / "half").touch()
    ready_machine.fails.unlink()
    said = []
    python = ready_environment(say=said.append)
    assert "an earlier build was interrupted; it is removed and made anew" in said
    assert python.exists()
    assert not (folder / "half").exists()


def test_environment_whose_python_is_gone_is_built_again(ready_machine):
    ready_environment().unlink()
    assert installed_python() is None
    assert ready_environment().exists()


def test_change_of_the_pins_asks_for_another_environment(ready_machine, monkeypatch, tmp_path):
    first = ready_environment()
    pins = tmp_path / "requirements.txt"
    pins.write_text("other")
    monkeypatch.setattr(environment, "_PINS", (pins, pins))
    assert installed_python() is None
    assert ready_environment() != first
    assert first.exists()


def test_two_processes_never_build_at_once(ready_machine):
    ready_machine.install_python(sleeps=0.2)
    code = (
        "import sys; from reports.hummingbot.real import environment, toolchain\n"
        "toolchain._OWN = None; toolchain._SYSTEM = ()\n"
        "print(environment.ready_environment(say=lambda text: None))"
    )
    runs = [
        subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    places = {run.communicate(timeout=120)[0] for run in runs}
    assert [run.returncode for run in runs] == [0, 0, 0]
    assert len(places) == 1
    assert len(ready_machine.calls_of("-m venv")) == 1


def test_interrupt_ends_pip_and_leaves_no_environment(ready_machine, monkeypatch):
    def interrupt(text):
        if "[3 of 4]" in text:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ready_environment(say=interrupt)
    assert installed_python() is None


def test_full_disk_is_told_before_anything_is_made(ready_machine, monkeypatch):
    monkeypatch.setattr(environment, "_NEEDED_BYTES", 10**18)
    with pytest.raises(LadderError, match="GB left; make room, or name another folder: LADDER_HUMMINGBOT"):
        ready_environment()
    assert ready_machine.calls_of("-m venv") == []


def test_missing_python_is_told_before_anything_is_made(machine):
    with pytest.raises(LadderError, match=r"needs Python 3\.12"):
        ready_environment()
    assert not (machine.folder / "cache").exists()
