"""What counts as a number where a person sets one: `True`, NaN, infinity and text do not."""

from __future__ import annotations

import math
from typing import TypeGuard


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value is a finite int or float. numpy's other types are not: they would compute in their own width."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
