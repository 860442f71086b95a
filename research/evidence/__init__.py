"""What the gate judges is measured here: the paper rung by backtests, the live rung by what a session has left.

from research.evidence import live_evidence, paper_evidence

verdict = gate(paper_evidence(SmaCross(12, 48), market, baseline=baseline_result))
verdict = gate(live_evidence(card, paper=Path("paper.sqlite"), account=seen))
"""

from typing import TYPE_CHECKING

from data.lazy import lazy_names

if TYPE_CHECKING:
    from research.evidence.live_rung import live_evidence
    from research.evidence.paper_rung import paper_evidence

_HOMES = {"live_evidence": "research.evidence.live_rung", "paper_evidence": "research.evidence.paper_rung"}

__all__ = ["live_evidence", "paper_evidence"]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
