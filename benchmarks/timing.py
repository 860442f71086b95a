"""How the benchmarks measure: candidates in turn within one process, the best of several rounds, ratios to the first.

A machine that others share speeds up and slows down by the minute. Taking the candidates in turn puts each through the
same minutes, the best round is the one least disturbed, and only ratios of one run are compared.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping


def best_seconds(candidates: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Least wall time of each candidate over `rounds`, in which each runs once; one round before them is not counted.

    The uncounted one compiles and fills caches. Garbage is collected between runs and not during them, so that no
    candidate pays for what another left behind.
    """
    best = dict.fromkeys(candidates, float("inf"))
    for number in range(rounds + 1):
        for name, candidate in candidates.items():
            gc.collect()
            gc.disable()
            began = time.perf_counter()
            candidate()
            taken = time.perf_counter() - began
            gc.enable()
            if number:
                best[name] = min(best[name], taken)
    return best


def show(title: str, seconds: Mapping[str, float], notes: Mapping[str, str] | None = None) -> None:
    """Print one line a candidate: time, ratio to the first, note."""
    first = next(iter(seconds.values()))
    width = max(len(name) for name in seconds)
    print(title)
    for name, value in seconds.items():
        note = (notes or {}).get(name, "")
        print(f"  {name:<{width}}  {value * 1e3:10.1f} ms  {value / first:6.2f} x  {note}".rstrip())


def verdict(ratio: float, goal: float) -> int:
    """Print whether the ratio is within the goal; the exit status, 1 where it is not."""
    met = ratio <= goal
    print(f"  {'met' if met else 'MISSED'}: {ratio:.2f} x, goal at most {goal:g} x")
    return 0 if met else 1
