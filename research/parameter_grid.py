"""The parameter sets of a sweep: a grid of values by name, or a list of sets."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from itertools import product
from math import prod
from typing import Any, Final

import numpy as np

from data.errors import ValidationError
from engine.strategy import Strategy

Grid = Mapping[str, Iterable[Any]] | Sequence[Mapping[str, Any]]

# A grid is laid out before it is run; past this many sets somebody has multiplied one axis too many.
_MOST_SETS: Final = 10_000_000


@dataclass(frozen=True)
class ParameterSets:
    """What a sweep tries.

    Attributes:
        names: the parameters that vary, in the grid's order.
        values: of each, what it takes, in the order given; as JSON holds it once `engine.run.plain` has seen it.
        sets: one mapping a set, of the parameters that vary alone.
        fixed: the parameters that every set has.
    """

    names: tuple[str, ...]
    values: Mapping[str, tuple[Any, ...]]
    sets: tuple[Mapping[str, Any], ...]
    fixed: Mapping[str, Any]

    def whole(self, number: int) -> dict[str, Any]:
        """What a strategy is made of for one set, by the set's number."""
        return {**self.fixed, **self.sets[number]}


def parameter_sets(kind: type[Strategy], grid: Grid, fixed: Mapping[str, Any] | None = None) -> ParameterSets:
    """Lay out a grid.

    Args:
        kind: the strategy's class.
        grid: by parameter, the values it takes: each with each; or a list of parameter sets.
        fixed: parameters that all sets share.

    Raises:
        ValidationError: the class is no strategy, a parameter is unknown, missing, fixed as well, or has no value or
            one twice.
    """
    known = _parameters(kind)
    given = dict(fixed or {}) if fixed is None or isinstance(fixed, Mapping) else None
    if given is None:
        raise ValidationError(f"fixed: expected a mapping of parameter to value, got {fixed!r}")
    if isinstance(grid, Mapping):
        axes = {str(name): _axis(str(name), values) for name, values in grid.items()}
        if not axes:
            raise ValidationError('grid: it names no parameter; pass such as {"fast": range(5, 50, 5)}')
        if (count := prod(len(values) for values in axes.values())) > _MOST_SETS:
            raise ValidationError(f"grid: {count:,} sets are more than {_MOST_SETS:,}; take fewer values")
        sets = [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]
    else:
        sets = _listed(grid)
        names = dict.fromkeys(name for one in sets for name in one)
        axes = {name: _distinct(one[name] for one in sets if name in one) for name in names}
    _check_names(kind, known, axes, given)
    lacking = [
        name for name, needed in known.items() if needed and name not in given and any(name not in one for one in sets)
    ]
    if lacking:
        raise ValidationError(
            f"{kind.__name__}: {lacking[0]} has no default; give it values in the grid or one in fixed={{...}}"
        )
    return ParameterSets(
        names=tuple(axes),
        values=axes,
        sets=tuple(sets),
        fixed={name: _number(value) for name, value in given.items()},
    )


def same_value(value: Any) -> tuple[type, Any]:
    """What is equal for the same value alone: 1, 1.0 and True are three; what cannot be hashed is itself alone."""
    try:
        hash(value)
    except TypeError:
        return (type(value), id(value))
    return (type(value), value)


def _parameters(kind: Any) -> dict[str, bool]:
    """By name, whether it must be given."""
    if isinstance(kind, Strategy):
        raise ValidationError(f"strategy: pass the class {type(kind).__name__}, and what is not swept in fixed={{...}}")
    if not (isinstance(kind, type) and issubclass(kind, Strategy)):
        raise ValidationError(f"strategy: expected a class of a Strategy, got {kind!r}")
    if not is_dataclass(kind):
        raise ValidationError(
            f"{kind.__name__}: a strategy is a frozen dataclass; write @dataclass(frozen=True) above its class"
        )
    return {
        item.name: item.default is MISSING and item.default_factory is MISSING for item in fields(kind) if item.init
    }


def _check_names(kind: type[Strategy], known: Iterable[str], axes: Iterable[str], fixed: Mapping[str, Any]) -> None:
    names = list(known)
    for where, given in (("grid", axes), ("fixed", fixed)):
        for name in given:
            if name not in names:
                close = difflib.get_close_matches(str(name), names, n=1)
                hint = f"; did you mean {close[0]}?" if close else ""
                if name == "exits" and not close:
                    hint = "; give a class of your own that inherits it a field `exits: Exits | None = None`"
                raise ValidationError(
                    f"{where}: {kind.__name__} has no parameter {name!r} (it has {', '.join(names) or 'none'}){hint}"
                )
    twice = [name for name in axes if name in fixed]
    if twice:
        raise ValidationError(f"fixed: {twice[0]} is in the grid as well; leave it out of one of them")


def _axis(name: str, values: Any) -> tuple[Any, ...]:
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise ValidationError(
            f"grid: {name} {values!r} must be a list of values; what does not vary goes into fixed={{{name!r}: ...}}"
        )
    axis = tuple(_number(value) for value in values)
    if not axis:
        raise ValidationError(f"grid: {name} has no value")
    if len(_distinct(axis)) < len(axis):
        raise ValidationError(f"grid: {name} has a value twice in {list(axis)}; each set would be tried twice")
    return axis


def _listed(grid: Any) -> list[dict[str, Any]]:
    if isinstance(grid, str | bytes) or not isinstance(grid, Iterable):
        raise ValidationError(f"grid: expected a mapping of parameter to values, or a list of sets, got {grid!r}")
    sets = list(grid)
    wrong = [one for one in sets if not isinstance(one, Mapping)]
    if wrong or not sets:
        got = repr(wrong[0]) if wrong else "an empty list"
        raise ValidationError(f'grid: a list holds parameter sets such as {{"fast": 5, "slow": 50}}, got {got}')
    plain = [{str(name): _number(value) for name, value in one.items()} for one in sets]
    seen: set[Any] = set()
    for one in plain:
        key = frozenset((name, same_value(value)) for name, value in one.items())
        if key in seen:
            raise ValidationError(f"grid: the set {one} is there twice")
        seen.add(key)
    return plain


def _distinct(values: Iterable[Any]) -> tuple[Any, ...]:
    return tuple({same_value(value): value for value in values}.values())


def _number(value: Any) -> Any:
    """numpy's scalars as Python's: what is recorded, shown and computed with is then the same value."""
    return value.item() if isinstance(value, np.number | np.bool_) else value
