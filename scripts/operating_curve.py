"""How often the gate lets noise and real edges pass, on planted markets: the table of docs/gate.md.

python scripts/operating_curve.py --seeds 200          # minutes a row
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

from engine import Costs, backtest
from reports.promotion.judging import Verdict, gate
from research import sweep
from research.evidence import paper_evidence
from research.evidence.planted import CoinFlips, SignalFollower, planted_market
from research.trial_records import open_record

COSTS = Costs(fee=0.0005, slippage=0.0002)
TRIED = 500


def edge_verdict(seed: int, edge: float, folder: Path) -> Verdict:
    """A strategy of this edge, the first that was tried."""
    market = planted_market(seed, edge)
    baseline = backtest(CoinFlips(10_000 + seed), market, costs=COSTS)
    record = open_record(folder / f"{seed}.sqlite")
    return gate(paper_evidence(SignalFollower(), market, baseline=baseline, costs=COSTS, record=record))


def noise_verdict(seed: int, folder: Path) -> Verdict:
    """The best of 500 strategies without skill."""
    market, record = planted_market(seed), folder / f"{seed}.sqlite"
    best = sweep(CoinFlips, {"number": range(1, TRIED + 1)}, market, costs=COSTS, record=record, progress=False)
    baseline = backtest(CoinFlips(10_000 + seed), market, costs=COSTS)
    return gate(paper_evidence(best.strategy(), market, baseline=baseline, costs=COSTS, record=record))


def row(name: str, verdicts: list[Verdict]) -> str:
    """A row of the table: how many pass, the mean ratio, and what stood in the way most often."""
    passed = sum(verdict.passed for verdict in verdicts)
    sharpes = [verdict.evidence.figures["stats"]["sharpe"] for verdict in verdicts]
    stood = Counter(one.check.name for verdict in verdicts for one in verdict.checks if one.stands_in_the_way)
    why = ", ".join(f"{check} {count}" for check, count in stood.most_common(4))
    return f"| {name} | {len(verdicts)} | {np.mean(sharpes):.2f} | {passed} ({passed / len(verdicts):.1%}) | {why} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--noise", type=int, default=40, help="seeds of the best of 500, which take longer")
    parser.add_argument("--edges", type=float, nargs="*", default=[0.0, 0.015, 0.03, 0.045, 0.06])
    options = parser.parse_args()
    print("| strategy | seeds | mean Sharpe ratio | pass | what stood in the way |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.noise:
            noise = [noise_verdict(seed, folder) for seed in range(options.noise)]
            print(row(f"best of {TRIED} coin flips", noise), flush=True)
        for edge in options.edges:
            (folder / f"{edge}").mkdir()
            verdicts = [edge_verdict(seed, edge, folder / f"{edge}") for seed in range(options.seeds)]
            print(row(f"edge {edge:g}", verdicts), flush=True)


if __name__ == "__main__":
    main()
