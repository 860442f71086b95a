"""How a result is judged: parity of two brokers, figures side by side, holding as a measure, and the tearsheet.

    from reports import compare, hold, parity, tearsheet

Names are imported when they are first used, so that `import reports` costs nothing. No file here is named as a function
is: importing `reports.parity` as a module would put the module in the place of the function.
"""

from typing import TYPE_CHECKING

from data.lazy import lazy_names

if TYPE_CHECKING:
    from reports.comparison import Comparison, compare
    from reports.holding import hold
    from reports.parity_check import Parity, ParityError, parity
    from reports.tearsheet_page import tearsheet

_HOMES = {
    "Comparison": "reports.comparison",
    "Parity": "reports.parity_check",
    "ParityError": "reports.parity_check",
    "compare": "reports.comparison",
    "hold": "reports.holding",
    "parity": "reports.parity_check",
    "tearsheet": "reports.tearsheet_page",
}

__all__ = ["Comparison", "Parity", "ParityError", "compare", "hold", "parity", "tearsheet"]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
