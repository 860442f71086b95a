"""The checks of each rung: what is measured, which way is better, what it means, and whether a person may override it.

The thresholds are the policy's (`reports.promotion.policy`): a check has the name of its threshold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from reports.promotion.evidence import Rung

Way = Literal["least", "most", "yes"]


@dataclass(frozen=True)
class Check:
    """One question to a strategy.

    Attributes:
        name: of the measurement and of the threshold.
        title: as the page shows it.
        way: "least": the figure must reach the threshold; "most": it must not exceed it; "yes": it must be so.
        unit: how the figure is written: "count", "percent", "probability", "ratio", "times", "days", "yes".
        meaning: a sentence for who has to sign: what the figure says, and why it matters.
        binding: no person may override it.
    """

    name: str
    title: str
    way: Way
    unit: str
    meaning: str
    binding: bool = False


_PAPER: Final = (
    Check(
        "causality", "Decides on the past alone", "yes", "yes",
        "Bars to come were altered and taken away; no earlier decision moved. A strategy that sees ahead earns nothing "
        "once the bars are not there yet.",
        binding=True,
    ),
    Check(
        "parity", "Both brokers agree", "yes", "yes",
        "The vectorized and the event-driven broker gave the same orders and the same equity. Where two "
        "implementations of the rules disagree, one of the figures below is wrong.",
        binding=True,
    ),
    Check(
        "trades", "Enough trades", "least", "count",
        "Round trips in the test. A ratio of a handful of trades is an anecdote.",
    ),
    Check(
        "days", "Enough time", "least", "days",
        "Days that the result covers: calm and storm, up and down need time to come round.",
    ),
    Check(
        "out_of_sample", "Earns on what it was not chosen on", "least", "ratio",
        "Annual Sharpe ratio of a walk-forward: parameters chosen on each past by the recorded grid, traded on the "
        "months that follow.",
    ),
    Check(
        "probabilistic_sharpe", "The ratio is above zero", "least", "probability",
        "Probability that the true Sharpe ratio exceeds 0, given the record's length, skewness and fat tails (Bailey "
        "and Lopez de Prado 2012).",
    ),
    Check(
        "deflated_sharpe", "The ratio is more than the luck of the best", "least", "probability",
        "The same against what the best of all recorded trials would show without skill (Bailey and Lopez de Prado "
        "2014). The number of trials is the record's, not what anybody says.",
    ),
    Check(
        "overfitting", "Chosen sets hold up", "most", "probability",
        "Probability of backtest overfitting: how often the best set of one half of the time is below the median in "
        "the other (Bailey et al. 2015). Below stands the same with the days beside the test left out of the "
        "choice.",
    ),
    Check(
        "better_than_baseline", "Better than the Hummingbot baseline", "least", "probability",
        "Share of paired bootstrap draws in which its Sharpe ratio exceeds the baseline's on the same days. Equal "
        "records give none.",
    ),
    Check(
        "better_than_holding", "Better than holding", "least", "probability",
        "The same against buying the same symbols once and keeping them.",
    ),
    Check(
        "drawdown", "Drawdown", "most", "percent",
        "Deepest fall from a peak, a fraction of equity: what one has to sit through.",
    ),
    Check(
        "turnover", "Turnover", "most", "times",
        "Notional traded in a year, in multiples of equity: what slippage and fees feed on.",
    ),
    Check(
        "capacity", "Fits the market", "most", "percent",
        "Largest share of a bar's volume that an order took, at the 99th percentile of its orders: above some percent "
        "the fills that were assumed are not to be had.",
    ),
    Check(
        "double_costs", "Earns at twice the costs", "least", "ratio",
        "Annual Sharpe ratio with fees and slippage doubled. An edge that dies there is an edge of the cost model.",
    ),
    Check(
        "break_even", "Costs it can bear", "least", "times",
        "Multiple of the assumed fees and slippage at which nothing is earned any more.",
    ),
    Check(
        "late_fills", "Earns when filled late", "least", "percent",
        "Share of the Sharpe ratio that is left when every fill comes one bar later: what hangs on one bar is not "
        "there in a slow hour.",
    ),
    Check(
        "neighbourhood", "A plateau, not a spike", "least", "percent",
        "Median Sharpe ratio of the neighbouring parameter sets, as a share of its own.",
    ),
    Check(
        "regimes", "Earns in more than one regime", "least", "count",
        "In how many thirds of the market's volatility (calm, middle, stormy) it earned.",
    ),
    Check(
        "years", "No single year carries it", "most", "percent",
        "Share of the profit that its best year (or quarter, below three years) contributed: above 100% all the others "
        "together lost.",
    ),
    Check(
        "trade_order", "Drawdown in another order of trades", "most", "percent",
        "Drawdown that one in twenty random orders of the same trades exceeds: the order that happened was one of "
        "many.",
    ),
)  # fmt: skip
_LIVE: Final = (
    Check(
        "promoted_to_paper", "Stands on the paper rung", "yes", "yes",
        "The very same strategy, parameters and lock have a valid record for paper.",
        binding=True,
    ),
    Check(
        "paper_days", "Ran on paper long enough", "least", "days",
        "Days that the paper session covers, on live prices.",
    ),
    Check(
        "paper_prices", "Its prices were the exchange's", "yes", "yes",
        "The exchange was asked again for every bar of the paper session, and tells the same. On live prices each "
        "decision was also written down in its own time: after the promotion to paper, before the next bar was over.",
        binding=True,
    ),
    Check(
        "paper_trades", "Traded on paper enough", "least", "count",
        "Orders that filled on paper.",
    ),
    Check(
        "paper_decisions", "Paper decided as the backtest", "yes", "yes",
        "On the bars of the paper session the backtest takes the same decisions.",
        binding=True,
    ),
    Check(
        "tracking", "Paper follows the backtest", "most", "percent",
        "Tracking error: deviation of the paper's returns from the backtest's on the same bars, annualised, a fraction "
        "of equity. Both fill by the same rules: what parts them is what the session slept through.",
    ),
    Check(
        "shortfall", "Implementation shortfall", "most", "percent",
        "Cost of fills against the decisions' closes, a fraction of notional, beyond the backtest's. Paper fills at "
        "the open worse by the assumed slippage: what an order book would have given is known only live.",
    ),
    Check(
        "paper_result", "Earned what its backtest lets one expect", "least", "probability",
        "Share of random stretches of the judged backtest, as long as the paper session, that earned less. A session "
        "among the worst one in twenty earned what its backtest hardly ever did.",
    ),
    Check(
        "no_halt", "No risk halt", "yes", "yes",
        "No loss limit halted the paper session.",
    ),
    Check(
        "stale", "Data were fresh", "most", "percent",
        "Share of the paper session's bars that came too late to be traded, or were slept through.",
    ),
    Check(
        "reconciled", "Nothing unexplained", "yes", "yes",
        "No difference between journal and account was left unexplained.",
        binding=True,
    ),
    Check(
        "rehearsal", "Rehearsed under heavy faults", "yes", "yes",
        "This version passed a rehearsal of the live code under heavy faults, its process killed, with every balance "
        "explained.",
        binding=True,
    ),
    Check(
        "rehearsal_bars", "Rehearsed long enough", "least", "count",
        "Bars that the rehearsal decided on.",
    ),
    Check(
        "risk_limits", "Risk limits are set", "yes", "yes",
        "The card has a position, a gross, a daily-loss and a drawdown limit.",
    ),
    Check(
        "kill_switch", "Kill switch works", "yes", "yes",
        "A session of this version was stopped by the kill file, and everything it had resting was cancelled.",
    ),
    Check(
        "alerts", "Someone is told", "yes", "yes",
        "An address for alerts is set, and a test message was delivered.",
    ),
    Check(
        "account", "The account is fit", "yes", "yes",
        "The key may trade and not withdraw, the balance covers the card's cash, and each symbol's precision is known.",
    ),
    Check(
        "checklist", "Production checklist", "least", "percent",
        "Share of the items of the production-readiness list that have their evidence.",
    ),
)  # fmt: skip
CATALOGUE: Final[dict[Rung, tuple[Check, ...]]] = {"paper": _PAPER, "live": _LIVE}
