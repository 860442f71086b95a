"""Strategies that use what was not known, each in its own way: every one is caught by the default check."""

from dataclasses import dataclass, field

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
    """An equal share of each symbol where the condition holds, none where it does not."""
    return condition.astype(float) / condition.shape[1]


def entered_where(enter, leave):
    """Decisions on the bars that enter or leave alone: most rows say nothing, as most real strategies' do."""
    weights = pd.DataFrame(np.nan, index=enter.index, columns=enter.columns)
    return weights.mask(leave & ~leave.shift(1, fill_value=False), 0.0).mask(
        enter & ~enter.shift(1, fill_value=False), 1.0 / enter.shape[1]
    )


def trend(close):
    """An honest rule for the rows that do not cheat."""
    return close > close.rolling(40).mean()


@dataclass(frozen=True)
class Cheat(Strategy):
    warmup: int = 50


@dataclass(frozen=True)
class BuysBelowTomorrowsClose(Cheat):
    def targets(self, market):
        return held_where(market.close.shift(-1) > market.close)


@dataclass(frozen=True)
class EntersTheBarBeforeTheBreakout(Cheat):
    def targets(self, market):
        up = market.close > market.high.rolling(48).max().shift(1)
        down = market.close < market.low.rolling(48).min().shift(1)
        return entered_where(up.shift(-1, fill_value=False), down.shift(-1, fill_value=False))


@dataclass(frozen=True)
class LooksADayAhead(Cheat):
    def targets(self, market):
        return held_where(market.close.shift(-48) > market.close * 1.01)


@dataclass(frozen=True)
class CentresItsRollingMean(Cheat):
    def targets(self, market):
        return held_where(market.close > market.close.rolling(21, center=True).mean())


@dataclass(frozen=True)
class EntersOnCentredBands(Cheat):
    def targets(self, market):
        bars = market.close.rolling(49, center=True, min_periods=25)
        low, high = bars.mean() - 2 * bars.std(), bars.mean() + 2 * bars.std()
        return entered_where(market.close < low, market.close > high)


@dataclass(frozen=True)
class TakesQuantilesOfTheWholeSample(Cheat):
    def targets(self, market):
        rise = market.close.pct_change(12)
        return entered_where(rise < rise.quantile(0.1), rise > rise.quantile(0.9))


@dataclass(frozen=True)
class TakesVolatilityRegimesOfTheWholeSample(Cheat):
    def targets(self, market):
        risk = market.close.pct_change().rolling(6).var()
        return risk.apply(lambda one: pd.qcut(one, [0, 0.1, 0.3, 0.7, 0.9, 1], labels=False) / 15)


@dataclass(frozen=True)
class ScoresByMeanAndDeviationOfTheWholeSample(Cheat):
    def targets(self, market):
        score = (market.close - market.close.mean()) / market.close.std()
        return entered_where(score < -1, score > 1)


@dataclass(frozen=True)
class ScalesByLowestAndHighestOfTheWholeSample(Cheat):
    def targets(self, market):
        low, high = market.close.min(), market.close.max()
        return (1 - (market.close - low) / (high - low)) / 3


@dataclass(frozen=True)
class RanksOverTheWholeHistory(Cheat):
    def targets(self, market):
        return held_where(market.close.pct_change(12).rank(pct=True) < 0.2)


@dataclass(frozen=True)
class KnowsTheDaysCloseAtMidnight(Cheat):
    def targets(self, market):
        daily = market.close.resample("1D").last()
        return held_where((daily > daily.shift(1)).reindex(market.index, method="ffill"))


@dataclass(frozen=True)
class MergesFourHoursStampedByTheirOpen(Cheat):
    def targets(self, market):
        slow = market.resample("4h").close
        return held_where((slow > slow.rolling(10).mean()).reindex(market.index, method="ffill", fill_value=False))


@dataclass(frozen=True)
class MergesHoursStampedByTheirOpenOneSymbolAtATime(Cheat):
    def targets(self, market):
        columns = {}
        for symbol in market.symbols:
            hourly = market.close[symbol].resample("1h").last().pct_change(8).rename("rise").reset_index()
            columns[symbol] = pd.merge_asof(pd.DataFrame({"time": market.index}), hourly, on="time")["rise"].to_numpy()
        return held_where(pd.DataFrame(columns, index=market.index) > 0)


@dataclass(frozen=True)
class KnowsTheDaysHighAtItsOpen(Cheat):
    def targets(self, market):
        top = market.high.groupby(market.index.normalize()).transform("max")
        return entered_where(market.close < 0.97 * top, market.close > 0.995 * top)


@dataclass(frozen=True)
class KnowsTheWeeksCloseAllWeek(Cheat):
    def targets(self, market):
        week = market.index.to_period("W") if market.index.tz is None else market.index.tz_localize(None).to_period("W")
        last = market.close.groupby(week).transform("last")
        return held_where(last > market.close)


@dataclass(frozen=True)
class FillsGapsFromTheNextBar(Cheat):
    def targets(self, market):
        close = market.on_grid().close.bfill().reindex(market.index)
        return (close / close.shift(1) - 1).clip(-1, 1).fillna(0.0)


@dataclass(frozen=True)
class InterpolatesGaps(Cheat):
    def targets(self, market):
        close = market.close.interpolate()
        return (close / close.shift(4) - 1).clip(-1, 1)


@dataclass(frozen=True)
class ImputesFromOtherFolds(Cheat):
    """Each fifth of the sample gets the mean of its hour over the other four fifths, later ones too."""

    def targets(self, market):
        rise, hour = market.close.pct_change(), market.index.hour
        fold = np.arange(len(market)) % 5
        means = pd.DataFrame(0.0, index=market.index, columns=market.close.columns)
        for number in range(5):
            table = rise[fold != number].groupby(hour[fold != number]).mean()
            means[fold == number] = table.reindex(hour[fold == number]).to_numpy()
        return held_where(means > 0)


@dataclass(frozen=True)
class AveragesEachHourOverEverything(Cheat):
    def targets(self, market):
        return held_where(market.close.pct_change().groupby(market.index.hour).transform("mean") > 0)


@dataclass(frozen=True)
class FitsLeastSquaresOnEverything(Cheat):
    def targets(self, market):
        rise = market.close.pct_change()
        weights = {}
        for symbol, one in rise.items():
            x = np.column_stack([one.shift(lag).fillna(0.0) for lag in range(4)])
            y = one.shift(-1).fillna(0.0)
            weights[symbol] = (x @ np.linalg.lstsq(x, y, rcond=None)[0] > 0).astype(float) / 3
        return pd.DataFrame(weights, index=market.index)


@dataclass(frozen=True)
class FitsATreeOnEverything(Cheat):
    def targets(self, market):
        trees = pytest.importorskip("sklearn.tree")
        rise = market.close.pct_change()
        weights = {}
        for symbol, one in rise.items():
            x = np.column_stack([one.shift(lag).fillna(0.0) for lag in range(4)])
            tree = trees.DecisionTreeRegressor(max_depth=4, random_state=0).fit(x, one.shift(-1).fillna(0.0))
            weights[symbol] = (tree.predict(x) > 0).astype(float) / 3
        return pd.DataFrame(weights, index=market.index)


@dataclass(frozen=True)
class FitsItsScalerOnEverything(Cheat):
    def targets(self, market):
        preprocessing = pytest.importorskip("sklearn.preprocessing")
        scaled = preprocessing.StandardScaler().fit_transform(market.volume.ffill().bfill())
        return held_where(pd.DataFrame(scaled, index=market.index, columns=market.close.columns) > 1)


@dataclass(frozen=True)
class TakesComponentsOfEverything(Cheat):
    def targets(self, market):
        rise = market.close.pct_change().fillna(0.0)
        _, _, components = np.linalg.svd(rise.to_numpy(), full_matrices=False)
        return np.tanh(100 * rise.rolling(12).sum().fillna(0.0) @ np.outer(components[0], components[0])).set_axis(
            rise.columns, axis=1
        )


@dataclass(frozen=True)
class PicksTheWindowThatWonOverall(Cheat):
    def targets(self, market):
        rise = market.close.pct_change().shift(-1)
        tried = [held_where(market.close > market.close.rolling(bars).mean()) for bars in (10, 20, 30, 40)]
        return max(tried, key=lambda weights: (weights * rise).sum().sum())


@dataclass(frozen=True)
class PeeksAtOneSymbol(Cheat):
    def targets(self, market):
        rule = trend(market.close)
        rule["XRP/USD"] = market.close["XRP/USD"].shift(-1) > market.close["XRP/USD"]
        return held_where(rule)


@dataclass(frozen=True)
class PeeksOnMondays(Cheat):
    def targets(self, market):
        monday = pd.Series(market.index.day_of_week == 0, index=market.index)
        ahead = market.close.shift(-1) > market.close
        return held_where(trend(market.close).where(~monday, ahead))


@dataclass(frozen=True)
class PeeksOnMondaysAtEntriesOnly(Cheat):
    def targets(self, market):
        up = trend(market.close)
        monday = pd.Series(market.index.day_of_week == 0, index=market.index)
        enter = up.where(~monday, up.shift(-1, fill_value=False))
        return entered_where(enter, ~enter)


@dataclass(frozen=True)
class PeeksInTheLastRow(Cheat):
    def targets(self, market):
        weights = held_where(trend(market.close))
        weights.iloc[-1] = 0.123
        return weights


@dataclass(frozen=True)
class PeeksThroughAnotherSymbol(Cheat):
    def targets(self, market):
        ahead = market.close["ETH/USD"].shift(-2) > market.close["ETH/USD"]
        rule = trend(market.close)
        return held_where(rule.assign(**{"LTC/USD": ahead}))


@dataclass(frozen=True)
class DetrendsByALineThroughEverything(Cheat):
    def targets(self, market):
        x = np.arange(len(market))
        close = market.close.ffill().bfill()
        line = np.column_stack([np.polyval(np.polyfit(x, close[symbol], 1), x) for symbol in close])
        return held_where(close < line)


@dataclass(frozen=True)
class SmoothsByFourier(Cheat):
    def targets(self, market):
        waves = np.fft.rfft(market.close.ffill().bfill().to_numpy(), axis=0)
        waves[len(market) // 50 :] = 0
        smooth = np.fft.irfft(waves, n=len(market), axis=0)
        return held_where(pd.DataFrame(smooth, market.index, market.close.columns).diff() > 0)


@dataclass(frozen=True)
class SmoothsBySavitzkyAndGolay(Cheat):
    def targets(self, market):
        signal = pytest.importorskip("scipy.signal")
        smooth = signal.savgol_filter(market.close.ffill().bfill().to_numpy(), 21, 2, axis=0)
        return held_where(pd.DataFrame(smooth, market.index, market.close.columns).diff() > 0)


@dataclass(frozen=True)
class FiltersForwardsAndBackwards(Cheat):
    def targets(self, market):
        close = market.close.ffill().bfill()
        smooth = close.ewm(span=20).mean()[::-1].ewm(span=20).mean()[::-1]
        return held_where(smooth.diff() > 0)


@dataclass(frozen=True)
class StampsPeaksBeforeTheyAreConfirmed(Cheat):
    def targets(self, market):
        window = {"window": 13, "center": True, "min_periods": 7}
        peak = market.high == market.high.rolling(**window).max()
        trough = market.low == market.low.rolling(**window).min()
        return entered_where(trough, peak)


@dataclass(frozen=True)
class LeavesBeforeTheDrawdownToCome(Cheat):
    def targets(self, market):
        worst = market.low[::-1].rolling(96, min_periods=1).min()[::-1]
        return held_where(worst > 0.95 * market.close)


@dataclass(frozen=True)
class CountsTheBars(Cheat):
    def targets(self, market):
        late = pd.Series(np.arange(len(market)) > 0.8 * len(market), index=market.index)
        return held_where(trend(market.close)).mask(late, 0.0)


@dataclass(frozen=True)
class KnowsWhenTheDataEnd(Cheat):
    def targets(self, market):
        late = pd.Series(market.index > market.index[-1] - pd.Timedelta("2h"), index=market.index)
        return held_where(trend(market.close)).mask(late, 0.0)


@dataclass(frozen=True)
class UsesItsLabelAsAFeature(Cheat):
    def targets(self, market):
        label = market.close.shift(-3) / market.close - 1
        return held_where(label.rolling(10).mean() > 0)


@dataclass(frozen=True)
class DividesByTheFinalVolatility(Cheat):
    def targets(self, market):
        final = market.close.pct_change().ewm(span=500).std().iloc[-1]
        return (trend(market.close) * 0.001 / final).clip(0, 1 / 3)


@dataclass(frozen=True)
class DividesByTheFinalPrice(Cheat):
    def targets(self, market):
        return held_where(market.close / market.close.ffill().iloc[-1] < 0.9)


@dataclass(frozen=True)
class SeesTheGapComing(Cheat):
    def targets(self, market):
        missing = market.close.shift(-1).isna() & market.close.notna()
        return held_where(trend(market.close)).mask(missing, 0.0)


@dataclass(frozen=True)
class SaysNothingOnShortInput(Cheat):
    """What a cut alone would call a short history; an altered future of full length shows the leak itself."""

    def targets(self, market):
        ahead = held_where(market.close.shift(-1) > market.close)
        return ahead if len(market) > 3000 else ahead * np.nan


@dataclass(frozen=True)
class ScalesItsBarriersByTomorrowsRange(Cheat):
    """`targets` is honest; the table of barrier distances is not."""

    def targets(self, market):
        return held_where(trend(market.close))

    def scale(self, market):
        return (market.high / market.low).shift(-1).fillna(1.0)


@dataclass(frozen=True)
class FitsOnceOnTheFirstMarketItSees(Cheat):
    """Every later call meets the fit of the first: a check that shared one object would find nothing."""

    fitted: dict = field(default_factory=dict)

    def targets(self, market):
        if not self.fitted:
            self.fitted["mean"] = market.close.mean()
        return held_where(market.close < self.fitted["mean"])


CHEATS = [*Cheat.__subclasses__()]


def test_there_are_enough_cheats():
    assert len(CHEATS) >= 40


@pytest.mark.parametrize("cheat", CHEATS, ids=lambda cheat: cheat.__name__)
def test_cheat_is_caught(cheat, market):
    report = check_causality(cheat(), market)
    found = report.of(Kind.LOOKS_AHEAD)
    assert found, str(report)
    assert not report.ok
    first = found[0]
    assert first.row in market.index
    assert first.symbol in market.symbols
    assert not np.isclose(first.full, first.other, rtol=0, atol=1e-9, equal_nan=True)
    assert 1 <= first.rows <= first.values
