"""What the gate judges is measured here: the paper rung by backtests, the live rung by what a session has left.

from research.evidence import paper_evidence

verdict = gate(paper_evidence(SmaCross(12, 48), market, baseline=baseline_result))
"""

from typing import TYPE_CHECKING

from data.lazy import lazy_names

if TYPE_CHECKING:
    from research.evidence.paper_rung import paper_evidence

_HOMES = {"paper_evidence": "research.evidence.paper_rung"}

__all__ = ["paper_evidence"]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
