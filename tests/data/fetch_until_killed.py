"""Run by test_download_killed.py: fetches in forked children, each killed by its own hand or from outside.

For each line of the standard input, `<store> <step>`, a child is forked that fetches. With a step above 0 it kills
itself with SIGKILL as it is about to do that step of writing: a file opened in the store, a folder made, a rename, a
deletion, an fsync, each counted. The child's pid and, when it has ended, its exit code are printed.
"""

import json
import logging
import os
import signal
import sys
import traceback
from pathlib import Path

# Imported before the fork, and not used: a child begins within milliseconds.
import ccxt
import pandas as pd
import pyarrow.parquet
import tenacity

import data.download
from data.source import Retry

SETTINGS = json.loads(sys.argv[1])
assert all((pd, pyarrow.parquet, tenacity))


def kill_at(step: int, store: str) -> None:
    done = 0

    def count() -> None:
        nonlocal done
        done += 1
        if done == step:
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        if event in ("open", "os.rename", "os.remove", "os.mkdir") and str(arguments[0]).startswith(store):
            count()

    fsync = os.fsync

    def counted_fsync(descriptor: int) -> None:
        count()
        fsync(descriptor)
        count()

    os.fsync = counted_fsync
    sys.addaudithook(watch)


def fetch(store: str, step: int) -> None:
    if step:
        kill_at(step, store)
    data.download._MANY_PARTS = 2  # parts are put into one on the way as well
    client = ccxt.binance(SETTINGS)
    data.download.fetch_candles(client, "BTC/USDT", "1h", "2024-01-01", store=Path(store), retry=Retry(3, 0.01, 0.1))


def tell(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


logging.disable(logging.WARNING)
for line in sys.stdin:
    store, step = line.rsplit(maxsplit=1)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            fetch(store, int(step))
            code = 0
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            os._exit(code)
    tell(child)
    tell(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
