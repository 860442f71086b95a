"""How a result is judged: parity of two brokers, figures side by side, holding as a measure, the tearsheet, the gate.

    from reports import compare, hold, parity, tearsheet
    from reports import gate, promote, verdict_page

Names are imported when they are first used, so that `import reports` costs nothing. No file here is named as a function
is: importing `reports.parity` as a module would put the module in the place of the function.
"""

from typing import TYPE_CHECKING

from data.lazy import lazy_names

if TYPE_CHECKING:
    from reports.comparison import Comparison, compare
    from reports.holding import hold
    from reports.parity_check import Parity, ParityError, parity
    from reports.promotion.climbing import demote, keep_verdict, promote
    from reports.promotion.evidence import Evidence, Measured
    from reports.promotion.judging import Override, Verdict, gate
    from reports.promotion.policy import Policy, read_policy
    from reports.promotion.subject import subject_of
    from reports.promotion.verdict_page import verdict_page
    from reports.tearsheet_page import tearsheet

_HOMES = {
    "Comparison": "reports.comparison",
    "Evidence": "reports.promotion.evidence",
    "Measured": "reports.promotion.evidence",
    "Override": "reports.promotion.judging",
    "Parity": "reports.parity_check",
    "ParityError": "reports.parity_check",
    "Policy": "reports.promotion.policy",
    "Verdict": "reports.promotion.judging",
    "compare": "reports.comparison",
    "demote": "reports.promotion.climbing",
    "gate": "reports.promotion.judging",
    "hold": "reports.holding",
    "keep_verdict": "reports.promotion.climbing",
    "parity": "reports.parity_check",
    "promote": "reports.promotion.climbing",
    "read_policy": "reports.promotion.policy",
    "subject_of": "reports.promotion.subject",
    "tearsheet": "reports.tearsheet_page",
    "verdict_page": "reports.promotion.verdict_page",
}

__all__ = [
    "Comparison",
    "Evidence",
    "Measured",
    "Override",
    "Parity",
    "ParityError",
    "Policy",
    "Verdict",
    "compare",
    "demote",
    "gate",
    "hold",
    "keep_verdict",
    "parity",
    "promote",
    "read_policy",
    "subject_of",
    "tearsheet",
    "verdict_page",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
