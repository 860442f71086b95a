"""Strategies that use the past alone, in the ways people do: no check calls one of them a cheat."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from data import load_sample
from engine import Strategy
from engine.causality import Kind, check_causality


@pytest.fixture(scope="module")
def market():
    """Real half-hours with gaps (21 March, 11 April), 3,500 bars of three symbols."""
    return load_sample(["ETH/USD", "LTC/USD", "XRP/USD"]).loc["2018-03-01":"2018-05-12"]


def held_where(condition):
    return condition.astype(float) / condition.shape[1]


def by_symbol(rule, market):
    """`rule(closes) -> weights`, a loop over the bars, for each symbol by itself."""
    share = 1.0 / len(market.symbols)
    columns = {symbol: np.asarray(rule(market.close[symbol].to_numpy())) * share for symbol in market.symbols}
    return pd.DataFrame(columns, index=market.index)


@dataclass(frozen=True)
class Honest(Strategy):
    """Causal, and decides by its last `warmup` bars alone."""

    warmup: int = 60


@dataclass(frozen=True)
class Remembering(Strategy):
    """Causal, but by all of its history: `warmup` bars do not decide as the whole does."""

    warmup: int = 60


@dataclass(frozen=True)
class ComparesWithAnExpandingMean(Remembering):
    def targets(self, market):
        return held_where(market.close > market.close.expanding().mean())


@dataclass(frozen=True)
class ComparesWithExpandingQuantiles(Remembering):
    def targets(self, market):
        rise = market.close.pct_change(12)
        return held_where(rise < rise.expanding(50).quantile(0.2))


@dataclass(frozen=True)
class ScoresByExpandingMeanAndDeviation(Remembering):
    def targets(self, market):
        grown = market.close.expanding(50)
        return ((market.close - grown.mean()) / grown.std() / 10).clip(-1, 1) / 3


@dataclass(frozen=True)
class ScalesByLowestAndHighestSoFar(Remembering):
    def targets(self, market):
        low, high = market.close.cummin(), market.close.cummax()
        return ((market.close - low) / (high - low)) / 3


@dataclass(frozen=True)
class CrossesExponentialMeans(Remembering):
    def targets(self, market):
        return held_where(market.close.ewm(span=12).mean() > market.close.ewm(span=26).mean())


@dataclass(frozen=True)
class FollowsWildersStrength(Remembering):
    warmup: int = 15

    def targets(self, market):
        moves = market.close.diff()
        up, down = moves.clip(lower=0).ewm(alpha=1 / 14).mean(), (-moves).clip(lower=0).ewm(alpha=1 / 14).mean()
        return held_where(up / (up + down) < 0.4)


@dataclass(frozen=True)
class TrailsAStopInALoop(Remembering):
    def targets(self, market):
        def rule(closes):
            best, weights = -np.inf, []
            for close in closes:
                best = max(best, close) if close == close else best
                weights.append(1.0 if close > 0.95 * best else 0.0)
            return weights

        return by_symbol(rule, market)


@dataclass(frozen=True)
class MovesThroughThreeStates(Remembering):
    """Waits, holds and rests: the state of one bar comes from the last one's."""

    def targets(self, market):
        def rule(closes):
            state, entry, rest, weights = "wait", np.nan, 0, []
            for before, close in zip(np.concatenate([[np.nan], closes[:-1]]), closes, strict=True):
                if state == "wait" and close > 1.01 * before:
                    state, entry = "hold", close
                elif state == "hold" and not 0.98 * entry < close < 1.03 * entry:
                    state, rest = "rest", 12
                elif state == "rest":
                    rest -= 1
                    state = "rest" if rest else "wait"
                weights.append(float(state == "hold"))
            return weights

        return by_symbol(rule, market)


@dataclass(frozen=True)
class FiltersByAKalmanGain(Remembering):
    warmup: int = 10

    def targets(self, market):
        def rule(closes):
            level, doubt, weights = np.nan, 1.0, []
            for close in closes:
                if close == close:
                    doubt += 0.01
                    gain = doubt / (doubt + 1.0)
                    level = close if level != level else level + gain * (close - level)
                    doubt *= 1.0 - gain
                weights.append(float(close > level))
            return weights

        return by_symbol(rule, market)


@dataclass(frozen=True)
class RefitsLeastSquaresAsItWalks(Remembering):
    """Each 300 bars a fit on what is past, its last label the return that the fitting bar itself completes."""

    def targets(self, market):
        rise = market.close.pct_change().fillna(0.0)
        weights = pd.DataFrame(np.nan, index=market.index, columns=market.close.columns)
        for symbol in market.symbols:
            one = rise[symbol].to_numpy()
            x = np.column_stack([np.concatenate([np.zeros(lag), one[: len(one) - lag]]) for lag in range(4)])
            for begin in range(300, len(one), 300):
                fit = np.linalg.lstsq(x[: begin - 1], one[1:begin], rcond=None)[0]
                weights.loc[market.index[begin : begin + 300], symbol] = (x[begin : begin + 300] @ fit > 0) / 3
        return weights


@dataclass(frozen=True)
class RefitsATreeAsItWalks(Remembering):
    def targets(self, market):
        trees = pytest.importorskip("sklearn.tree")
        rise = market.close.pct_change().fillna(0.0).to_numpy()
        weights = np.zeros(rise.shape)
        for begin in range(500, len(rise), 500):
            for column in range(rise.shape[1]):
                tree = trees.DecisionTreeRegressor(max_depth=3, random_state=0)
                tree.fit(rise[: begin - 1], rise[1:begin, column])
                weights[begin : begin + 500, column] = (tree.predict(rise[begin : begin + 500]) > 0) / 3
        return pd.DataFrame(weights, market.index, market.close.columns)


@dataclass(frozen=True)
class FiltersByRecursion(Remembering):
    def targets(self, market):
        signal = pytest.importorskip("scipy.signal")
        smooth = signal.lfilter([0.1], [1.0, -0.9], market.close.ffill().bfill().to_numpy(), axis=0)
        return held_where(market.close > smooth)


@dataclass(frozen=True)
class CountsBarsSinceTheStart(Remembering):
    """Each 48th bar of the history: another one, where the history begins later."""

    def targets(self, market):
        due = pd.Series(np.arange(len(market)) % 48 == 47, index=market.index)
        return held_where(market.close.pct_change(12) > 0).where(due, np.nan)


@dataclass(frozen=True)
class DrawsFromASeed(Remembering):
    def targets(self, market):
        drawn = np.random.default_rng(7).uniform(0, 0.3, size=(len(market), len(market.symbols)))
        return pd.DataFrame(drawn, market.index, market.close.columns)


@dataclass(frozen=True)
class CrossesRollingMeans(Honest):
    def targets(self, market):
        return held_where(market.close.rolling(12).mean() > market.close.rolling(50).mean())


@dataclass(frozen=True)
class ComparesWithRollingQuantiles(Honest):
    def targets(self, market):
        return held_where(market.close < market.close.rolling(50).quantile(0.1))


@dataclass(frozen=True)
class ScoresByRollingMeanAndDeviation(Honest):
    def targets(self, market):
        bars = market.close.rolling(50)
        return ((market.close - bars.mean()) / bars.std() / 10).clip(-1, 1) / 3


@dataclass(frozen=True)
class AimsAtAVolatility(Honest):
    def targets(self, market):
        return (0.001 / market.close.pct_change().rolling(48).std()).clip(0, 1 / 3)


@dataclass(frozen=True)
class BreaksOutOfAChannel(Honest):
    def targets(self, market):
        top, bottom = market.high.rolling(48).max().shift(1), market.low.rolling(48).min().shift(1)
        weights = market.close * np.nan
        return weights.mask(market.close > top, 1 / 3).mask(market.close < bottom, 0.0)


@dataclass(frozen=True)
class UsesYesterdaysDailyClose(Honest):
    warmup: int = 145

    def targets(self, market):
        daily = market.close.resample("1D").last()
        known = (daily > daily.shift(1)).shift(1, fill_value=False)  # a day's close is known when the day is over
        return held_where(known.reindex(market.index, method="ffill"))


@dataclass(frozen=True)
class MergesFourHoursStampedByTheirClose(Honest):
    warmup: int = 120

    def targets(self, market):
        slow = market.resample("4h").close.pct_change(10)
        # Bars of half an hour: the one that opens at 3:30 closes with the four hours from 0:00.
        known = slow.set_axis(slow.index + pd.Timedelta("4h") - pd.Timedelta("30min"))
        columns = {
            symbol: pd.merge_asof(pd.DataFrame({"time": market.index}), one.rename("rise").reset_index(), on="time")
            for symbol, one in known.rename_axis("time").items()
        }
        rises = {symbol: merged["rise"].to_numpy() > 0 for symbol, merged in columns.items()}
        return held_where(pd.DataFrame(rises, index=market.index))


@dataclass(frozen=True)
class KnowsTheDaysHighSoFar(Honest):
    def targets(self, market):
        return held_where(market.close > 0.99 * market.high.groupby(market.index.normalize()).cummax())


@dataclass(frozen=True)
class StampsPeaksOnceTheyAreConfirmed(Honest):
    def targets(self, market):
        centre = market.high.shift(6)
        peak = centre == market.high.rolling(13).max()
        return (market.close * np.nan).mask(peak, 0.1)


@dataclass(frozen=True)
class TradesByTheHour(Honest):
    warmup: int = 1

    def targets(self, market):
        return held_where(pd.DataFrame(dict.fromkeys(market.symbols, market.index.hour < 8), index=market.index))


@dataclass(frozen=True)
class IsFlatAtWeekendsAndMonthEnds(Honest):
    warmup: int = 1

    def targets(self, market):
        closed = (market.index.day_of_week >= 5) | market.index.is_month_end  # the calendar is known in advance
        return pd.DataFrame({symbol: np.where(closed, 0.0, 0.3) for symbol in market.symbols}, index=market.index)


@dataclass(frozen=True)
class RanksAcrossSymbols(Honest):
    def targets(self, market):
        rise = market.close.ffill().pct_change(24)
        return held_where(rise.rank(axis=1) == rise.shape[1])


@dataclass(frozen=True)
class HedgesByARollingSlope(Honest):
    def targets(self, market):
        rise = market.close.ffill().pct_change()
        slope = rise.rolling(48).cov(rise["ETH/USD"]).div(rise["ETH/USD"].rolling(48).var(), axis=0)
        return slope.clip(-3, 3) / 10


@dataclass(frozen=True)
class LeavesGapsAlone(Honest):
    """Each symbol's indicator runs over its own bars; a bar that is missing gets no decision."""

    def targets(self, market):
        columns = {}
        for symbol in market.symbols:
            close = market.close[symbol].dropna()
            columns[symbol] = (close > close.rolling(20).mean()).astype(float).reindex(market.index) / 3
        return pd.DataFrame(columns)


@dataclass(frozen=True)
class CarriesTheLastCloseOverGaps(Honest):
    def targets(self, market):
        close = market.close.ffill(limit=5)
        return held_where(close > close.rolling(20, min_periods=10).mean())


@dataclass(frozen=True)
class SpeaksSeldom(Honest):
    def targets(self, market):
        fall = market.close.pct_change(48)
        return (market.close * np.nan).mask(fall < -0.12, 0.3).mask(fall > 0.12, 0.0)


@dataclass(frozen=True)
class SaysNothing(Honest):
    def targets(self, market):
        return market.close * np.nan


@dataclass(frozen=True)
class HoldsConstantWeights(Honest):
    warmup: int = 0

    def targets(self, market):
        return pd.DataFrame(0.2, index=market.index, columns=list(market.symbols))


@dataclass(frozen=True)
class PredictsByAMatrixProduct(Honest):
    """BLAS sums the last rows of a matrix in another order: rounding, which is no leak."""

    def targets(self, market):
        rise = pd.concat([market.close.ffill().pct_change(bars) for bars in (1, 2, 3, 5, 8, 13)], axis=1).fillna(0.0)
        return np.tanh(rise.to_numpy() @ np.linspace(-1, 1, 18 * 3).reshape(18, 3)) / 3 + market.close * 0.0


@dataclass(frozen=True)
class SpoilsItsWarmUpOnly(Honest):
    """The first rows are filled from later ones, but no broker executes them."""

    def targets(self, market):
        weights = held_where(market.close > market.close.rolling(40).mean())
        weights.iloc[: self.warmup - 1] = weights.mean().to_numpy()
        return weights


@dataclass(frozen=True)
class ScalesItsBarriersByPastRange(Honest):
    def targets(self, market):
        return held_where(market.close > market.close.rolling(20).mean())

    def scale(self, market):
        return (market.high / market.low - 1).rolling(20).mean() * 100


@dataclass(frozen=True)
class HasNoScaleAfterAll(Honest):
    def targets(self, market):
        return held_where(market.close > market.close.rolling(20).mean())

    def scale(self, market):
        return None


HONEST, REMEMBERING = Honest.__subclasses__(), Remembering.__subclasses__()


def test_there_are_enough_honest_ones():
    assert len(HONEST) >= 20
    assert len(REMEMBERING) >= 10


@pytest.mark.parametrize("kind", HONEST, ids=lambda kind: kind.__name__)
def test_honest_strategy_gets_no_finding(kind, market):
    report = check_causality(kind(), market)
    assert report.ok and report.fits_live, str(report)
    assert report.largest_rounding < 1e-10


@pytest.mark.parametrize("kind", REMEMBERING, ids=lambda kind: kind.__name__)
def test_state_since_the_first_bar_is_a_warm_up_finding_and_no_look_ahead(kind, market):
    report = check_causality(kind(), market)
    assert report.ok, str(report)
    assert not report.fits_live
    assert {violation.kind for violation in report.violations} == {Kind.WARM_UP}
