"""Whether a run may trade on a real account: by the gate's promotion of its strategy, or because a person says so.

    permission = require_promotion(terms, find)                 # by what finds the gate's records
    permission = accept_unpromoted(terms, typed, who="ada")     # the very sentence, typed
    await run_live(..., permission=permission)

On a rehearsal exchange, whose URLs are all on this machine, nobody needs to be asked.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from data.errors import LadderError

ACCEPTED: Final = "accepted unpromoted"  # the statement in the journal
_HERE: Final = ("127.0.0.1", "localhost")


class PermissionDeniedError(LadderError):
    """The run may not trade on a real account; says what would let it."""


@dataclass(frozen=True)
class Terms:
    """What is to go live, and what a permission is for.

    Attributes:
        run: its name.
        exchange: in ccxt.
        symbols: that it trades.
        cash: that it may use, quote currency.
        quote: that currency.
        strategy: what decides, in words.
        settings: all else that an order depends on (parameters, timeframe, limits, barriers), as JSON has it.
    """

    run: str
    exchange: str
    symbols: Sequence[str]
    cash: float
    quote: str
    strategy: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        """What a person types to let it trade without a promotion."""
        return f"{self.run} trades {self.cash:.12g} {self.quote} on {self.exchange} without a promotion"

    @property
    def digest(self) -> str:
        """The same for the same terms: a permission is not one for others."""
        told = [self.run, self.exchange, list(self.symbols), self.cash, self.quote, self.strategy, dict(self.settings)]
        return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Permission:
    """That a run may trade, for which terms, and what it rests on.

    Attributes:
        kind: "promotion", or `ACCEPTED`.
        digest: of the terms.
        who: gave it.
        detail: for the journal.
    """

    kind: str
    digest: str
    who: str
    detail: Mapping[str, Any] = field(default_factory=dict)


def require_promotion(terms: Terms, find: Callable[[Terms], Permission | None] | None = None) -> Permission:
    """The promotion of a strategy by the gate: the one place that asks for it.

    Args:
        terms: what is to go live.
        find: looks for the gate's record of these terms; None where there are no records to look for.

    Raises:
        PermissionDeniedError: there is none.
    """
    found = None if find is None else find(terms)
    if found is not None:
        return found
    raise PermissionDeniedError(
        f"run {terms.run!r}: {terms.strategy} has no promotion to live trading; rehearse it (`ladder rehearse`), trade "
        "it on paper (`ladder paper --live`), or take the risk upon yourself: `--i-accept-unpromoted`"
    )


def accept_unpromoted(terms: Terms, typed: str, who: str) -> Permission:
    """The permission of a person who has typed the terms' sentence.

    Raises:
        PermissionDeniedError: something else was typed.
    """
    if " ".join(typed.split()) != terms.sentence:
        raise PermissionDeniedError(
            f"run {terms.run!r}: that is not the sentence {terms.sentence!r}; nothing is traded"
        )
    return Permission(ACCEPTED, terms.digest, who, {"sentence": terms.sentence, "digest": terms.digest})


def accepted_before(terms: Terms, accepted: Iterable[Mapping[str, Any]], who: str) -> Permission | None:
    """The permission that these very terms had before, by the details of the journal's statements; None for none.

    So whatever watches over a process may begin it again after its death, when nobody is there to type.
    """
    if any(detail.get("digest") == terms.digest for detail in accepted):
        return Permission(ACCEPTED, terms.digest, who, {"digest": terms.digest, "again": True})
    return None


def is_rehearsal(exchange: Any) -> bool:
    """Whether all the URLs of a ccxt exchange are on this machine."""
    urls = _leaves(exchange.urls.get("api"))
    return bool(urls) and all(urlsplit(url).hostname in _HERE for url in urls)


def require_permission(exchange: Any, run: str, permission: Permission | None) -> None:
    """Refuse a real account without a permission.

    Raises:
        PermissionDeniedError: there is none.
    """
    if permission is None and not is_rehearsal(exchange):
        raise PermissionDeniedError(
            f"run {run!r}: {exchange.id} is a real exchange, and nothing says that this run may trade on it; use "
            "`ladder live`, or give run_live a permission (engine.live.permission)"
        )


def _leaves(urls: Any) -> list[str]:
    if isinstance(urls, Mapping):
        return [leaf for url in urls.values() for leaf in _leaves(url)]
    return [str(urls)] if urls else []
