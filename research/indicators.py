"""Indicators computed once per distinct value while a sweep runs, and as ever outside of one.

    @indicator
    def true_range(high: pd.Series, low: pd.Series, close: pd.Series, bars: int) -> pd.Series: ...

Of a thousand pairs of averages, each average belongs to many pairs. A sweep opens a memory; a function marked as an
indicator then answers from it where it was asked before with the same content: the bytes of arrays and tables, their
times and labels, and every other argument, types included. What it gives is what computing again would give, bit for
bit, for a marked function depends on its arguments alone. Outside of a sweep nothing is kept.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Final, ParamSpec, TypeVar

import numpy as np
import pandas as pd

P = ParamSpec("P")
R = TypeVar("R")

# Of an array, as many elements as tell most arrays apart; the whole is compared only where these agree.
_SAMPLES: Final = 32
# What stands for an answer or an input that holds no array: its key, its place in the memory.
_ROOM: Final = 512
# Of an index that is not an argument's: its values and, once it is searched, their places.
_BYTES_A_LABEL: Final = 72
_PLAIN: Final = (bool, int, float, complex, str, bytes, type(None))


class _UnknownKindError(Exception):
    """An argument or an answer of a kind whose content cannot be compared, or copied, safely."""


@dataclass(eq=False)
class _Input:
    """An array that answers were asked with; `users` of them are still kept."""

    content: np.ndarray
    users: int = 0


@dataclass(eq=False)
class _Answer:
    value: Any
    inputs: tuple[_Input, ...]
    size: int


@dataclass(eq=False)
class Memory:
    """Answers by function and arguments, the least recently used dropped first.

    Attributes:
        limit: bytes of answers and of the inputs they belong to; never exceeded.
        used: bytes kept now.
        hits: how often an answer was there.
        misses: how often it had to be computed.
    """

    limit: int
    used: int = 0
    hits: int = 0
    misses: int = 0
    _answers: OrderedDict[Hashable, _Answer] = field(default_factory=OrderedDict)
    _inputs: dict[Hashable, list[_Input]] = field(default_factory=dict)

    def ask(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The function's answer, from memory where it is there."""
        try:
            key, _ = self._question(function, args, kwargs)
        except _UnknownKindError:
            return function(*args, **kwargs)
        answer = self._answers.get(key)
        if answer is not None:
            self.hits += 1
            self._answers.move_to_end(key)
            return _handed_out(answer.value, _indexes(args, kwargs))
        self.misses += 1
        value = function(*args, **kwargs)
        with suppress(_UnknownKindError):
            # Asked anew: an indicator within this one may have been the first to bring in the same array.
            self._keep(*self._question(function, args, kwargs), _kept(value, _indexes(args, kwargs)))
        return value

    def _question(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Hashable, list[tuple[Hashable, _Input]]]:
        """The key of a call, and the arrays in it."""
        inputs: list[tuple[Hashable, _Input]] = []
        given = tuple(self._key(value, inputs) for value in args)
        named = tuple((name, self._key(kwargs[name], inputs)) for name in sorted(kwargs))
        return (function, given, named), inputs

    def _keep(self, key: Hashable, inputs: list[tuple[Hashable, _Input]], kept: Any) -> None:
        size = _ROOM + _size(kept)
        if key in self._answers or size + sum(_ROOM + one.content.nbytes for _, one in inputs) > self.limit:
            return
        for sample, one in inputs:
            if not one.users:
                one.content = one.content.copy()
                self._inputs.setdefault(sample, []).append(one)
                self.used += _ROOM + one.content.nbytes
            one.users += 1
        self._answers[key] = _Answer(kept, tuple(one for _, one in inputs), size)
        self.used += size
        while self.used > self.limit:
            _, dropped = self._answers.popitem(last=False)
            self.used -= dropped.size
            for one in dropped.inputs:
                self._release(one)

    def _release(self, one: _Input) -> None:
        one.users -= 1
        if one.users:
            return
        self.used -= _ROOM + one.content.nbytes
        sample = _sample(one.content)
        alike = [other for other in self._inputs[sample] if other is not one]
        if alike:
            self._inputs[sample] = alike
        else:
            del self._inputs[sample]

    def _key(self, value: Any, inputs: list[tuple[Hashable, _Input]]) -> Hashable:
        """What stands for an argument: equal for equal content, never for other content."""
        kind = type(value)
        if isinstance(value, np.ndarray):
            return self._array_key(value, inputs)
        if kind in (pd.Series, pd.DataFrame) and value.attrs:
            raise _UnknownKindError
        if kind is pd.Series:
            labels = self._index_key(value.index, inputs), self._key(value.name, inputs)
            return (kind, self._array_key(_numbers(value), inputs), *labels)
        if kind is pd.DataFrame:
            labels = self._index_key(value.index, inputs), self._index_key(value.columns, inputs)
            return (kind, self._array_key(_table(value), inputs), *labels)
        if isinstance(value, pd.Index):
            return self._index_key(value, inputs)
        if kind in _PLAIN:
            # As text: -0.0 is not 0.0, and NaN is NaN.
            return (kind, repr(value))
        if isinstance(value, np.generic) and not value.dtype.hasobject:
            return (kind, value.tobytes())
        if kind in (pd.Timedelta, pd.Timestamp):
            return (kind, value.unit, value.value, str(getattr(value, "tz", None)))
        if kind is tuple:
            return (kind, tuple(self._key(item, inputs) for item in value))
        raise _UnknownKindError

    def _index_key(self, index: pd.Index, inputs: list[tuple[Hashable, _Input]]) -> Hashable:
        names: tuple[Any, ...] = (type(index), str(index.dtype), self._key(index.name, inputs))
        if isinstance(index, pd.DatetimeIndex):
            return (*names, str(index.freq), self._array_key(index.asi8, inputs))
        if isinstance(index, pd.RangeIndex):
            return (*names, index.start, index.stop, index.step)
        if isinstance(index.dtype, np.dtype) and index.dtype.kind in "biuf":
            return (*names, self._array_key(index.to_numpy(), inputs))
        labels = index.tolist()
        if len(labels) > 10_000 or not all(isinstance(label, str) for label in labels):
            raise _UnknownKindError
        return (*names, tuple(labels))

    def _array_key(self, array: np.ndarray, inputs: list[tuple[Hashable, _Input]]) -> Hashable:
        """The input whose content the array has, by identity.

        The layout counts: numpy sums an array in the order of its memory.
        """
        if array.dtype.hasobject:
            raise _UnknownKindError
        layout = (type(array), array.dtype.str, array.shape, array.strides)
        content = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        sample = _sample(content)
        alike = [one for _, one in inputs if _same(one.content, content)]
        alike = alike or [one for one in self._inputs.get(sample, ()) if _same(one.content, content)]
        one = alike[0] if alike else _Input(content)
        inputs.append((sample, one))
        return (layout, _ByIdentity(one))


@dataclass(frozen=True, eq=False)
class _ByIdentity:
    """Holds an input in a key, so that no other object can be given its place in memory while the key lives."""

    one: _Input

    def __hash__(self) -> int:
        return id(self.one)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ByIdentity) and other.one is self.one


_memory: ContextVar[Memory | None] = ContextVar("ladder_indicators", default=None)


def indicator(function: Callable[P, R]) -> Callable[P, R]:
    """Mark a function of arrays, tables and plain values as an indicator: within a sweep each answer is computed once.

    The function must depend on its arguments alone and change none of them. Arguments and answers may be numpy arrays,
    Series, DataFrames (of numbers or booleans), plain values, and tuples of these; with any other kind it is computed
    each time.
    """

    @wraps(function)
    def once(*args: P.args, **kwargs: P.kwargs) -> R:
        memory = _memory.get()
        answer: R = function(*args, **kwargs) if memory is None else memory.ask(function, args, kwargs)
        return answer

    return once


@contextmanager
def remembering(limit: int) -> Iterator[Memory]:
    """Keep what indicators answer within this block, in at most `limit` bytes."""
    memory = Memory(limit)
    token = _memory.set(memory)
    try:
        yield memory
    finally:
        _memory.reset(token)


def _sample(content: np.ndarray) -> Hashable:
    # Neighbouring bytes of a number differ in kind; a step that is no multiple of 8 sees all of them.
    step = max(len(content) // _SAMPLES, 1) | 1
    return (len(content), content[::step].tobytes())


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    return len(one) == len(other) and np.array_equal(one, other)


def _numbers(series: pd.Series) -> np.ndarray:
    if not isinstance(series.dtype, np.dtype) or series.dtype.kind not in "biuf":
        raise _UnknownKindError
    return series.to_numpy()


def _table(frame: pd.DataFrame) -> np.ndarray:
    kinds = set(frame.dtypes)
    if len(kinds) != 1 or not isinstance(kind := kinds.pop(), np.dtype) or kind.kind not in "biuf":
        raise _UnknownKindError
    return frame.to_numpy()


@dataclass(frozen=True, eq=False)
class _OnIndex:
    """A table whose rows are those of an argument: kept without them, for an index in use grows a search tree."""

    table: Any
    place: int


def _indexes(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[pd.Index | None]:
    """The index of each argument, in an order that is the same for the same question."""
    values = [*args, *(kwargs[name] for name in sorted(kwargs))]
    return [value.index if isinstance(value, pd.Series | pd.DataFrame) else None for value in values]


def _kept(value: Any, indexes: list[pd.Index | None]) -> Any:
    """An answer as the memory keeps it: a copy in the same layout, that nobody else can write to.

    A DataFrame's is made by pandas when one side is first changed: a deep one would lay the numbers out anew.
    """
    kind = type(value)
    if kind is np.ndarray and not value.dtype.hasobject and (value.flags.c_contiguous or value.flags.f_contiguous):
        return value.copy(order="K")
    if kind in (pd.Series, pd.DataFrame):
        table = value.copy(deep=kind is pd.Series)
        for place, index in enumerate(indexes):
            if index is not None and value.index.is_(index):
                return _OnIndex(table.set_axis(pd.RangeIndex(len(table)), axis=0), place)
        return table
    if kind is tuple:
        return tuple(_kept(item, indexes) for item in value)
    if kind in _PLAIN or isinstance(value, np.generic):
        return value
    raise _UnknownKindError


def _handed_out(kept: Any, indexes: list[pd.Index | None]) -> Any:
    """What an asker gets of a kept answer: a copy of its own."""
    if isinstance(kept, _OnIndex):
        return kept.table.set_axis(indexes[kept.place], axis=0)
    if isinstance(kept, np.ndarray):
        return kept.copy(order="K")
    if isinstance(kept, pd.Series | pd.DataFrame):
        return kept.copy(deep=False)
    return tuple(_handed_out(item, indexes) for item in kept) if type(kept) is tuple else kept


def _size(kept: Any) -> int:
    """Bytes that a kept answer takes, its labels and their search tree among them."""
    if isinstance(kept, _OnIndex):
        return _size(kept.table)
    if isinstance(kept, np.ndarray):
        return kept.nbytes
    if isinstance(kept, pd.Series | pd.DataFrame):
        labels = 0 if isinstance(kept.index, pd.RangeIndex) else _BYTES_A_LABEL * len(kept)
        columns = [kept] if isinstance(kept, pd.Series) else [kept.iloc[:, place] for place in range(kept.shape[1])]
        return labels + sum(int(column.to_numpy().nbytes) for column in columns)
    return sum(_size(item) + 64 for item in kept) if type(kept) is tuple else 64
