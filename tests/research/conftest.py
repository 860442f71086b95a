"""What a sweep records in a test is the test's own: never in the folder of whoever runs the tests."""

import pytest


@pytest.fixture(autouse=True)
def record(tmp_path, monkeypatch):
    """The file that sweeps record in unless they are told otherwise, also those of a program that the test starts."""
    path = tmp_path / "recorded" / "trials.sqlite"
    monkeypatch.setenv("LADDER_TRIALS", str(path))
    return path
