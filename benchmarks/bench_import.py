"""`ladder --help` against a Python that does no more than import typer and rich.

Compared: whole processes, from start to exit, taken in turn; the median of each. The yardstick is what any command line
on these two libraries pays before a line of its own runs.

Why it is fair: both are started the same way by the same interpreter, `ladder` through the script that pip installs,
its output going nowhere. Bytecode is cached for both: one round before the measured ones is not counted. The median,
for a process has no best case that counts: the machine's caches and scheduler are part of what a person waits for.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.timing import show, verdict

GOAL = 3.0
ROUNDS = 21
COMMANDS = {
    "python -c 'import typer, rich'": [sys.executable, "-c", "import typer, rich"],
    "ladder --help": [str(Path(sys.executable).with_name("ladder")), "--help"],
    "python -c 'import engine'": [sys.executable, "-c", "import engine"],
}


def seconds_of(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603  (COMMANDS, above)
    return time.perf_counter() - began


def main() -> int:
    taken: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for number in range(ROUNDS + 1):
        for name, command in COMMANDS.items():
            seconds = seconds_of(command)
            if number:
                taken[name].append(seconds)
    medians = {name: statistics.median(values) for name, values in taken.items()}
    show(f"start: processes in turn, median of {ROUNDS}", medians)
    reference, ours, _ = medians.values()
    return verdict(ours / reference, GOAL)


if __name__ == "__main__":
    raise SystemExit(main())
