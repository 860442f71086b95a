"""A Python 3.12 that runs and a compiler that compiles are found, whatever stands in front of them, or named."""

import sys
from pathlib import Path

import pytest

from data.errors import LadderError
from reports.hummingbot.real.toolchain import compiler_settings, find_python, probe_python

SHIM = "#!/bin/sh\necho 'pyenv: version `3.12` is not installed (set by /x/.python-version)' >&2\nexit 127\n"


def test_shim_that_does_not_run_is_passed_over_for_a_later_one_on_path(machine, monkeypatch):
    machine.install("bin/python3.12", SHIM)
    good = machine.install_python("later/python3.12")
    monkeypatch.setenv("PATH", f"{machine.bin}:{machine.folder / 'tools'}:{good.parent}")
    assert find_python().path == good


def test_python_of_pyenv_is_found_behind_its_own_shim(machine):
    machine.install("bin/python3.12", SHIM)
    good = machine.install_python("home/.pyenv/versions/3.12.9/bin/python")
    found = find_python()
    assert found.path == good
    assert found.version == "3.12.9"


def test_python_of_uv_is_found_and_none_is_downloaded(machine):
    good = machine.install_python("elsewhere/python3.12")
    machine.install(
        "bin/uv",
        f'#!/bin/sh\ncase "$*" in *--no-python-downloads*) echo {good} ;; *) exit 1 ;; esac\n',
    )
    assert find_python().path == good


def test_named_python_comes_first(machine, monkeypatch):
    machine.install_python()
    named = machine.install_python("mine/python")
    monkeypatch.setenv("LADDER_PYTHON312", str(named))
    assert find_python().path == named


def test_named_python_that_does_not_run_is_an_error_though_another_would_do(machine, monkeypatch):
    machine.install_python()
    monkeypatch.setenv("LADDER_PYTHON312", str(machine.install("mine", SHIM)))
    with pytest.raises(LadderError, match=r"LADDER_PYTHON312=.*mine is of no use: pyenv: version `3.12` is not"):
        find_python()


def test_no_python_is_an_error_that_names_what_was_tried_and_how_to_install(machine):
    machine.install("bin/python3.12", SHIM)
    with pytest.raises(LadderError) as raised:
        find_python()
    text = str(raised.value)
    assert f"{machine.bin / 'python3.12'} (on PATH): pyenv: version `3.12` is not installed" in text
    for part in ("needs Python 3.12", "apt install python3.12", "brew install", "LADDER_PYTHON312=/path/to/python3.12"):
        assert part in text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("#!/bin/sh\necho 'AssertionError: it is Python 3.11.2' >&2; exit 1\n", "it is Python 3.11.2"),
        ("#!/bin/sh\nexit 9\n", "it ended with code 9"),
        ("#!/bin/sh\necho hello\n", "it does not answer as a Python does"),
        ("#!/no/such/shell\n", "it cannot be started"),
    ],
)
def test_python_of_no_use_says_why(machine, text, said):
    assert said in str(probe_python(machine.install("candidate", text)))


def test_other_version_is_told_by_its_number(machine):
    if sys.version_info[:2] == (3, 12):
        pytest.skip("this Python is a 3.12")
    assert f"it is Python {sys.version.split()[0]}" in str(probe_python(Path(sys.executable)))


def test_compiler_that_the_python_was_made_with_needs_no_setting(machine):
    machine.install_python()
    machine.install_compiler("g++")
    assert compiler_settings(find_python()) == {}


def test_clang_stands_in_where_there_is_no_gcc(machine):
    machine.install_python()
    machine.install_compiler("clang++")
    assert compiler_settings(find_python()) == {"CXX": "clang++", "CC": "clang"}


def test_named_compiler_is_the_only_one_tried(machine, monkeypatch):
    machine.install_python()
    machine.install_compiler("g++")
    monkeypatch.setenv("CXX", "my-g++")
    with pytest.raises(LadderError, match=r"my-g\+\+: not on PATH"):
        compiler_settings(find_python())


def test_missing_compiler_is_an_error_that_says_how_to_install_one(machine):
    machine.install_python()
    machine.install_compiler("g++", "#!/bin/sh\necho 'xcrun: error: invalid active developer path' >&2; exit 1\n")
    with pytest.raises(LadderError) as raised:
        compiler_settings(find_python())
    text = str(raised.value)
    for part in ("g++: xcrun: error: invalid active developer path", "clang++: not on PATH", "apt install g++", "CXX="):
        assert part in text


def test_missing_headers_of_python_are_named(machine):
    machine.install_python()
    (machine.folder / "include" / "Python.h").unlink()
    machine.install_compiler("g++", "#!/bin/sh\necho 'fatal error: Python.h: No such file' >&2; exit 1\n")
    with pytest.raises(LadderError, match=r"headers are missing: .*Python\.h .*python3\.12-dev"):
        compiler_settings(find_python())
