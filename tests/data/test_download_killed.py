"""A fetch killed at any moment resumes with no lost or doubled bar: real processes, real SIGKILL.

Killed at each step of writing in turn, so that no state a kill can leave on the disk is left out; as each request
arrives; and at random moments. (What a power cut may leave beyond that is up to the file system: files are synced
before they take their names.)
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from data import Store
from data.atomic import TEMP_SUFFIX
from tests.data.exchange import Exchange, make_bars

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the children are forked")

KEY = ("binance", "BTC/USDT", "1h")
SCRIPT = Path(__file__).with_name("fetch_until_killed.py")
KILLED = -signal.SIGKILL


class Nursery:
    """Children that fetch from the exchange into a store, one at a time."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        settings = exchange.settings("binance", enableRateLimit=False, timeout=5_000)
        self.process = subprocess.Popen(
            [sys.executable, str(SCRIPT), json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def _line(self) -> int:
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())

    def run(self, store: Store, step: int = 0, begun: Callable[[int], None] = lambda pid: None) -> int:
        """The exit code of one fetch; `begun` is told its pid."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{store.root} {step}\n")
        self.process.stdin.flush()
        begun(self._line())
        return self._line()

    def close(self) -> None:
        self.process.communicate()


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    bars = make_bars(96, missing=(30, 31))
    with Exchange(bars, now=bars.index[-1] + pd.Timedelta("5min"), page=20) as exchange:
        nursery = Nursery(exchange)
        yield nursery
        nursery.close()


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # it may have ended by itself
        os.kill(pid, signal.SIGKILL)


def check_partial(store: Store, whole: pd.DataFrame) -> int:
    """What a kill left can be read, and is the beginning of the series; how many bars it has."""
    if store.first_bar(*KEY) is None:
        return 0
    held = store.read(*KEY)
    pd.testing.assert_frame_equal(held, whole.iloc[: len(held)], check_exact=True, check_freq=False)
    assert store.list()[0].bars == len(held)
    return len(held)


def check_whole(nursery: Nursery, store: Store, held: int) -> None:
    """One more fetch, not killed, completes the series; it asks for nothing that was noted, and leaves no rest."""
    whole = nursery.exchange.closed()
    noted = max((end for _, end in store.fetched(*KEY)), default=whole.index[0])
    nursery.exchange.requests.clear()
    assert nursery.run(store) == 0
    assert all(request.since is not None and request.since >= noted for request in nursery.exchange.asked())
    pd.testing.assert_frame_equal(store.read(*KEY), whole, check_exact=True, check_freq=False)
    assert store.list()[0].bars == len(whole) >= held
    assert store.check(*KEY).missing == 2
    assert nursery.run(store) == 0
    store.compact(*KEY)  # as any next writer would
    folder = store.folder(*KEY)
    assert not [path for path in folder.iterdir() if path.name.endswith(TEMP_SUFFIX)]
    assert sum(len(pd.read_parquet(path)) for path in folder.glob("*.parquet")) == len(whole)


def kill_at_each_step(nursery: Nursery, folder: Path, stride: int) -> int:
    """Kills at every `stride`-th step of a fetch, each in a store of its own; how many."""
    whole, step, kills = nursery.exchange.closed(), 1, 0
    while True:
        store = Store(folder / f"step {step}")
        code = nursery.run(store, step)
        held = check_partial(store, whole)
        if code == 0:
            assert held == len(whole)
            return kills
        assert code == KILLED
        check_whole(nursery, store, held)
        kills, step = kills + 1, step + stride


def kill_as_requests_arrive(nursery: Nursery, store: Store, at: list[int]) -> None:
    """One store; the first run is killed as its request at[0] arrives, the next at its at[1], and so on."""
    exchange, whole = nursery.exchange, nursery.exchange.closed()
    for number in at:
        pids: list[int] = []
        known = threading.Event()

        def strike(_: object, number: int = number, pids: list[int] = pids, known: threading.Event = known) -> None:
            if len(exchange.requests) == number:
                known.wait(5)
                kill(pids[0])

        def begun(pid: int, pids: list[int] = pids, known: threading.Event = known) -> None:
            pids.append(pid)
            known.set()

        exchange.requests.clear()
        exchange.on_request = strike
        code = nursery.run(store, begun=begun)
        exchange.on_request = lambda request: None
        assert code == (KILLED if len(exchange.requests) >= number else 0)
        check_partial(store, whole)
    check_whole(nursery, store, check_partial(store, whole))


def kill_at_random(nursery: Nursery, folder: Path, rounds: int, seed: int) -> int:
    """Kills after random waits, in one store until it is whole, then in a new one; how many hit a running fetch."""
    whole, chance, hits = nursery.exchange.closed(), random.Random(seed), 0
    store = Store(folder / "0")
    for number in range(1, rounds + 1):
        timers: list[threading.Timer] = []

        def begun(pid: int, timers: list[threading.Timer] = timers) -> None:
            timers.append(threading.Timer(chance.uniform(0.0, 0.25), kill, [pid]))
            timers[0].start()

        code = nursery.run(store, begun=begun)
        timers[0].cancel()
        timers[0].join()
        hits += code == KILLED
        assert code in (0, KILLED)
        held = check_partial(store, whole)
        if held == len(whole) or number == rounds:
            check_whole(nursery, store, held)
            store = Store(folder / str(number))
    return hits


def test_a_fetch_killed_at_steps_of_its_writing_resumes_with_no_lost_or_doubled_bar(
    nursery: Nursery, tmp_path: Path
) -> None:
    assert kill_at_each_step(nursery, tmp_path, stride=13) > 8


def test_a_fetch_killed_as_its_requests_arrive_resumes_with_no_lost_or_doubled_bar(
    nursery: Nursery, tmp_path: Path
) -> None:
    kill_as_requests_arrive(nursery, Store(tmp_path), at=[1, 4, 5, 6, 6, 7, 5])


def test_a_fetch_killed_at_random_moments_resumes_with_no_lost_or_doubled_bar(nursery: Nursery, tmp_path: Path) -> None:
    assert kill_at_random(nursery, tmp_path, rounds=12, seed=1) > 2


@pytest.mark.slow
def test_a_fetch_killed_at_every_single_step_resumes_with_no_lost_or_doubled_bar(
    nursery: Nursery, tmp_path: Path
) -> None:
    assert kill_at_each_step(nursery, tmp_path, stride=1) > 80


@pytest.mark.slow
def test_a_fetch_killed_hundreds_of_times_resumes_with_no_lost_or_doubled_bar(nursery: Nursery, tmp_path: Path) -> None:
    assert kill_at_random(nursery, tmp_path, rounds=400, seed=2) > 100
