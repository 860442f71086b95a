"""How often the gate lets noise and real edges pass, on planted markets: the table of docs/gate.md.

python scripts/operating_curve.py --seeds 200          # 3 seconds a seed, 40 a seed of the best of 500

A row is printed when all its seeds are judged, or at Ctrl-C those that are; then comes the next row. Standard error
tells what each seed came to.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np

from engine import Costs, backtest
from reports.promotion.judging import Verdict, gate
from research import sweep
from research.evidence import paper_evidence
from research.evidence.planted import CoinFlips, Peeking, SignalFollower, planted_market
from research.trial_records import open_record

COSTS = Costs(fee=0.0005, slippage=0.0002)
TOO_DEAR = Costs(fee=0.0125, slippage=0.001)  # what an edge of 0.06 just survives, and not twice
TRIED = 500

Judge = Callable[[int, Path], Verdict]  # by seed, with an empty folder for its record of trials


def edge_verdict(seed: int, folder: Path, edge: float, costs: Costs = COSTS) -> Verdict:
    """A strategy of this edge, the first that was tried."""
    market = planted_market(seed, edge)
    baseline = backtest(CoinFlips(10_000 + seed), market, costs=costs)
    record = open_record(folder / "trials.sqlite")
    return gate(paper_evidence(SignalFollower(), market, baseline=baseline, costs=costs, record=record))


def noise_verdict(seed: int, folder: Path) -> Verdict:
    """The best of 500 strategies without skill."""
    market, record = planted_market(seed), folder / "trials.sqlite"
    best = sweep(CoinFlips, {"number": range(1, TRIED + 1)}, market, costs=COSTS, record=record, progress=False)
    baseline = backtest(CoinFlips(10_000 + seed), market, costs=COSTS)
    return gate(paper_evidence(best.strategy(), market, baseline=baseline, costs=COSTS, record=record))


def cheat_verdict(seed: int, folder: Path) -> Verdict:
    """A strategy that is told what will be."""
    market = planted_market(seed)
    baseline = backtest(CoinFlips(10_000 + seed), market, costs=COSTS)
    record = open_record(folder / "trials.sqlite")
    return gate(paper_evidence(Peeking(), market, baseline=baseline, costs=COSTS, record=record))


def equal_verdict(seed: int, folder: Path) -> Verdict:
    """A strong edge, and a baseline that has the very same."""
    market = planted_market(seed, edge=0.08)
    same = backtest(SignalFollower(), market, costs=COSTS)
    record = open_record(folder / "trials.sqlite")
    return gate(paper_evidence(SignalFollower(), market, baseline=same, costs=COSTS, record=record))


def row(name: str, verdicts: list[Verdict]) -> str:
    """A row of the table: how many pass, the mean ratio, and what stood in the way most often."""
    passed = sum(verdict.passed for verdict in verdicts)
    sharpes = [verdict.evidence.figures["stats"]["sharpe"] for verdict in verdicts]
    stood = Counter(one.check.name for verdict in verdicts for one in verdict.checks if one.stands_in_the_way)
    why = ", ".join(f"{check} {count}" for check, count in stood.most_common(4))
    return f"| {name} | {len(verdicts)} | {np.mean(sharpes):.2f} | {passed} ({passed / len(verdicts):.1%}) | {why} |"


def judged(name: str, judge: Judge, seeds: int) -> Iterator[Verdict]:
    """The verdicts of seeds 0, 1, ..., each told of on standard error as it is there."""
    passed = 0
    for seed in range(seeds):
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            verdict = judge(seed, Path(folder))
        passed += verdict.passed
        ways = ", ".join(one.check.name for one in verdict.checks if one.stands_in_the_way)
        took = time.monotonic() - began
        print(f"{name}: {seed + 1} of {seeds}, {passed} pass ({took:.1f} s) {ways}", file=sys.stderr, flush=True)
        yield verdict


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seeds", type=int, default=200, help="of each edge")
    parser.add_argument("--noise", type=int, default=40, help="seeds of the best of 500, which take longer")
    parser.add_argument("--certain", type=int, default=20, help="seeds of what must never pass, whatever its luck")
    parser.add_argument("--edges", type=float, nargs="*", default=[0.0, 0.015, 0.03, 0.045, 0.06])
    options = parser.parse_args()
    rows: list[tuple[str, Judge, int]] = [
        ("told what will be", cheat_verdict, options.certain),
        ("edge 0.06 that dies at twice the costs", partial(edge_verdict, edge=0.06, costs=TOO_DEAR), options.certain),
        ("edge 0.08, the baseline its equal", equal_verdict, options.certain),
        (f"best of {TRIED} coin flips", noise_verdict, options.noise),
        *((f"edge {edge:g}", partial(edge_verdict, edge=edge), options.seeds) for edge in options.edges),
    ]
    print("| strategy | seeds | mean Sharpe ratio | pass | what stood in the way |\n|---|---|---|---|---|", flush=True)
    for name, judge, seeds in rows:
        verdicts = []
        with suppress(KeyboardInterrupt):
            for verdict in judged(name, judge, seeds):
                verdicts.append(verdict)  # noqa: PERF402 - what is there stays when it is interrupted
        if verdicts:
            print(row(name, verdicts), flush=True)


if __name__ == "__main__":
    main()
