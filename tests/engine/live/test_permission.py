"""Who may trade on a real account: nobody without a promotion, but for a person who has typed the very sentence."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import ccxt.pro
import pytest

from data.errors import LadderError
from engine.live.permission import (
    ACCEPTED,
    Permission,
    PermissionDeniedError,
    Terms,
    accept_unpromoted,
    accepted_before,
    is_rehearsal,
    require_permission,
    require_promotion,
)
from engine.live.start import run_live
from tests.engine.live.sessions import Always

TERMS = Terms("btc-1", "binance", ["BTC/USDT"], 2_500.0, "USDT", "SmaCross", {"fast": 3})
SENTENCE = "btc-1 trades 2500 USDT on binance without a promotion"


def test_without_a_record_nothing_is_promoted():
    with pytest.raises(PermissionDeniedError, match=r"SmaCross has no promotion.*--i-accept-unpromoted"):
        require_promotion(TERMS)


def test_record_that_is_found_permits():
    found = Permission("promotion", TERMS.digest, "the gate")
    assert require_promotion(TERMS, lambda terms: found if terms == TERMS else None) is found
    with pytest.raises(PermissionDeniedError, match="no promotion"):
        require_promotion(replace(TERMS, cash=1.0), lambda terms: found if terms == TERMS else None)


@pytest.mark.parametrize("typed", [SENTENCE, f"  {SENTENCE}\n", SENTENCE.replace(" ", "  ")])
def test_the_sentence_names_run_exchange_and_cash_and_permits(typed):
    permission = accept_unpromoted(TERMS, typed, "ada@desk")
    assert (permission.kind, permission.who, permission.digest) == (ACCEPTED, "ada@desk", TERMS.digest)
    assert permission.detail["sentence"] == SENTENCE


@pytest.mark.parametrize("typed", ["", "y", "yes", SENTENCE.upper(), SENTENCE[:-1], SENTENCE.replace("2500", "250")])
def test_anything_else_does_not(typed):
    with pytest.raises(PermissionDeniedError, match="nothing is traded"):
        accept_unpromoted(TERMS, typed, "ada@desk")


@pytest.mark.parametrize(
    "change",
    [
        {"run": "btc-2"},
        {"exchange": "bybit"},
        {"symbols": ["ETH/USDT"]},
        {"cash": 2_500.01},
        {"quote": "USDC"},
        {"strategy": "SmaRsi"},
        {"settings": {"fast": 4}},
    ],
)
def test_what_was_accepted_once_holds_for_the_same_terms_and_no_others(change):
    said = [accept_unpromoted(TERMS, SENTENCE, "ada@desk").detail]
    assert accepted_before(replace(TERMS), said, "init@desk").digest == TERMS.digest
    assert accepted_before(replace(TERMS, **change), said, "init@desk") is None
    assert accepted_before(TERMS, [], "init@desk") is None


def test_session_on_a_real_exchange_is_refused_before_its_first_request(tmp_path):
    client = ccxt.pro.binance()
    journal = tmp_path / "journal.sqlite"
    run = run_live(Always(), client, ["BTC/USDT"], "1h", cash=1.0, journal=journal, run="r")
    with pytest.raises(PermissionDeniedError, match="a real exchange, and nothing says"):
        asyncio.run(run)
    assert not journal.exists()


@pytest.mark.parametrize(
    ("api", "rehearsal"),
    [
        ({"public": "http://127.0.0.1:1/api", "ws": {"spot": "ws://127.0.0.1:1"}}, True),
        ({"public": "http://127.0.0.1:1/api", "ws": {"spot": "wss://stream.binance.com"}}, False),
        ({"public": "http://127.0.0.1.evil.example/api"}, False),
        ({}, False),
        (None, False),
    ],
)
def test_rehearsal_is_one_whose_every_url_is_here(api, rehearsal):
    exchange = SimpleNamespace(id="binance", urls={"api": api})
    assert is_rehearsal(exchange) is rehearsal
    if rehearsal:
        require_permission(exchange, "r", None)
    else:
        with pytest.raises(LadderError):
            require_permission(exchange, "r", None)
