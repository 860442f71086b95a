"""Each error of ccxt has one treatment; the page of the docs is the table of the code."""

from pathlib import Path

import ccxt
import pytest

from engine.live.treatments import FINAL, MEANING, REFUSALS, TABLE, Treatment, is_not_found, table_text, treatment_of

PAGE = Path(__file__).parents[3] / "docs" / "exceptions.md"


def classes(tree):
    for name, below in tree.items():
        yield name
        yield from classes(below)


EVERY = sorted(classes(ccxt.error_hierarchy))


def test_table_has_every_error_of_ccxt_and_no_other():
    assert sorted(TABLE) == EVERY
    assert set(MEANING) == set(Treatment)


@pytest.mark.parametrize("name", EVERY)
def test_each_error_has_its_stated_treatment(name):
    error = getattr(ccxt, name)("binance says no")
    assert treatment_of(error) is TABLE[name].treatment
    assert is_not_found(error) == (name == "OrderNotFound")


def test_what_may_have_been_executed_is_never_taken_for_a_refusal():
    # Each of these ccxt raises where a request may have been executed: no answer, or half of one.
    for name in (
        "RequestTimeout",
        "ExchangeNotAvailable",
        "NetworkError",
        "ExchangeError",
        "OperationFailed",
        "BadResponse",
    ):
        assert treatment_of(getattr(ccxt, name)()) not in REFUSALS
    for error in (TimeoutError(), ConnectionResetError(), KeyError("orderId"), ValueError("not JSON")):
        assert treatment_of(error) is Treatment.LOOK_UP


def test_a_new_class_of_ccxt_is_treated_as_the_one_above_it():
    class FundsFrozen(ccxt.InsufficientFunds):
        pass

    assert treatment_of(FundsFrozen()) is Treatment.CUT_TO_FUNDS


def test_an_order_that_is_there_already_is_looked_up_not_refused():
    assert treatment_of(ccxt.InvalidOrder('binance {"code":-2010,"msg":"Duplicate order sent."}')) is Treatment.LOOK_UP
    assert treatment_of(ccxt.InvalidOrder('binance {"code":-2010,"msg":"Rest of it."}')) is Treatment.REJECTED


def test_the_final_ones_are_refusals():
    assert FINAL < REFUSALS


def test_page_of_the_docs_is_the_table():
    assert PAGE.read_text().endswith(table_text()), "make it anew: engine.live.treatments.table_text()"


# What Binance answers, and what ccxt's own code for it makes of that.
ANSWERS = [
    (400, -1013, "Filter failure: NOTIONAL", Treatment.REJECTED),
    (400, -1013, "Filter failure: LOT_SIZE", Treatment.REJECTED),
    (400, -2010, "Account has insufficient balance for requested action.", Treatment.CUT_TO_FUNDS),
    (400, -2010, "Order would immediately match and take.", Treatment.REPRICE),
    (400, -2010, "Duplicate order sent.", Treatment.LOOK_UP),
    (400, -1021, "Timestamp for this request is outside of the recvWindow.", Treatment.RESYNC_CLOCK),
    (400, -1022, "Signature for this request is not valid.", Treatment.HALT),
    (401, -2015, "Invalid API-key, IP, or permissions for action.", Treatment.HALT),
    (400, -1121, "Invalid symbol.", Treatment.REJECTED),
    (400, -1007, "Timeout waiting for response from backend server. Execution status unknown.", Treatment.LOOK_UP),
    (400, -1006, "An unexpected response was received from the message bus.", Treatment.LOOK_UP),
    (503, -1000, "Unknown error, please check your request or try again later.", Treatment.LOOK_UP),
    (429, -1003, "Too much request weight used.", Treatment.RETRY_LATER),
    (418, -1003, "Way too much request weight used; IP banned.", Treatment.RETRY_LATER),
    (400, -1015, "Too many new orders.", Treatment.RETRY_LATER),
    (200, 1, "System is under maintenance.", Treatment.WAIT_OUT),
    (400, -2013, "Order does not exist.", Treatment.LOOK_UP),
    (400, -9999, "A code that nobody knows yet.", Treatment.LOOK_UP),
]


@pytest.mark.parametrize(("status", "code", "words", "treatment"), ANSWERS)
@pytest.mark.parametrize("url", ["https://api.binance.com/api/v3/order", "http://127.0.0.1:1/api/v3/order"])
def test_answers_of_binance_through_ccxt(url, status, code, words, treatment):
    body = f'{{"code":{code},"msg":"{words}"}}'
    with pytest.raises(ccxt.BaseError) as caught:
        ccxt.binance().handle_errors(status, "", url, "POST", {}, body, {"code": code, "msg": words}, {}, "")
    assert treatment_of(caught.value) is treatment, repr(caught.value)
