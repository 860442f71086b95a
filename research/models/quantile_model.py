"""The model: gradient-boosted trees for the 10%, 50% and 90% quantiles of the next return, one model for all symbols.

    model = QuantileModel(horizon=1)
    fitted = model.fit(market)                   # every bar whose label the market itself knows
    table = fitted.predict(newer_market)         # one row a (bar, symbol): q10, q50, q90 of the return
    fitted.save("btc.skops"); FittedModel.load("btc.skops")

scikit-learn's histogram gradient boosting on the pinball loss (Koenker and Bassett, 1978), one ensemble a quantile. The
symbols are pooled, and which symbol a row is of is no feature: what one coin shows helps the next.

The label (`research.models.labels`) is divided by the bar's own realised volatility, and the prediction multiplied by
it again. A tree's leaf is a constant, so it cannot say "twice the volatility, twice the width", nor go beyond the
widest market that it was trained on; in units of volatility it need not.

No row is held back for early stopping: scikit-learn draws it at random, from among rows whose labels overlap in time.
The fit runs on one thread: a sum over threads is added in another order on another machine, and its last bit decides
which way a tree splits. So the same bars and parameters give the same model, to the last bit, on every run.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cache
from numbers import Integral
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from data.errors import ValidationError
from data.market import Market
from data.timeframe import parse_timeframe, utc_time
from engine.checks import is_number
from engine.code_version import package_versions
from research.models.features import WARMUP, FeaturePanel, feature_panel
from research.models.labels import check_horizon, forward_returns

QUANTILES: Final = (0.1, 0.5, 0.9)
COLUMNS: Final = ("q10", "q50", "q90")
# What a prediction rests on: another state of these files is another model.
_SOURCES: Final = ("features.py", "labels.py", "quantile_model.py")
_PACKAGES: Final = ("numpy", "scikit-learn", "skops")


@dataclass(frozen=True)
class QuantileModel:
    """Parameters of a model that is not trained yet.

    Attributes:
        horizon: bars from the fill to the end of the label.
        max_iter: trees of each quantile.
        learning_rate: what each tree adds, a fraction above 0 up to 1.
        max_leaf_nodes: leaves of a tree, at least 2.
        min_samples_leaf: training rows in a leaf, at least 1; a tail quantile needs many.
        l2: L2 penalty on the leaves, at least 0.
        max_rows: about how many rows it trains on: of more, every n-th time is kept, with all its symbols, counted back
            from the newest. Neighbouring bars tell nearly the same.
        seed: of scikit-learn's draws (bin edges beyond 200,000 rows).

    Raises:
        ValidationError: a parameter is out of its range.
    """

    horizon: int = 1
    max_iter: int = 100
    learning_rate: float = 0.05
    max_leaf_nodes: int = 15
    min_samples_leaf: int = 100
    l2: float = 1.0
    max_rows: int = 20_000
    seed: int = 0

    def __post_init__(self) -> None:
        check_horizon("QuantileModel", self.horizon)
        lowest = {"max_iter": 1, "max_leaf_nodes": 2, "min_samples_leaf": 1, "max_rows": 2, "seed": 0}
        for name, least in lowest.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
                raise ValidationError(f"QuantileModel: {name} {value!r} must be a whole number, at least {least}")
        if not is_number(self.learning_rate) or not 0.0 < self.learning_rate <= 1.0:
            raise ValidationError(f"QuantileModel: learning_rate {self.learning_rate!r} must be above 0 and at most 1")
        if not is_number(self.l2) or self.l2 < 0.0:
            raise ValidationError(f"QuantileModel: l2 {self.l2!r} must be a number, at least 0")

    def fit(self, market: Market) -> FittedModel:
        """Train on every bar of the market whose features and label are in it.

        Raises:
            ValidationError: there are too few of them.
        """
        labels = forward_returns(market, self.horizon).to_numpy()
        return fit_rows(self, market, feature_panel(market), labels, np.arange(len(market)))


@dataclass(frozen=True)
class Training:
    """What a model was trained on.

    Attributes:
        first: opening time of the first bar that a training row was made on, UTC.
        last: of the last one.
        known_at: when the last of their labels was known, UTC: no prediction may be made before.
        rows: training rows, over all symbols.
        symbols: the symbols of the market.
        timeframe: the bars' length.
        data: SHA-256 of the bars from the warm-up of the first of these times to the bar that makes the last label
            known.
    """

    first: pd.Timestamp
    last: pd.Timestamp
    known_at: pd.Timestamp
    rows: int
    symbols: tuple[str, ...]
    timeframe: str
    data: str


@dataclass(frozen=True, eq=False)
class FittedModel:
    """A trained model: it predicts for any market of its timeframe, also of other symbols.

    Attributes:
        model: the parameters.
        features: names of the features, in the order of the columns.
        regressors: scikit-learn's, one for each of `QUANTILES`.
        training: what it was trained on.
        versions: of Python and the libraries that trained it.
        code: SHA-256 of the sources of features, label and model that trained it.
    """

    model: QuantileModel
    features: tuple[str, ...]
    regressors: tuple[Any, ...]
    training: Training
    versions: dict[str, str]
    code: str

    @property
    def warmup(self) -> int:
        """Bars that its features need."""
        return WARMUP

    @property
    def id(self) -> str:
        """Twelve digits that name the model: a hash of its parameters, features, training data, libraries and code."""
        told = [asdict(self.model), self.features, asdict(self.training), sorted(self.versions.items()), self.code]
        return hashlib.sha256(json.dumps(told, default=str).encode()).hexdigest()[:12]

    def predict(
        self,
        market: Market,
        since: str | pd.Timestamp | None = None,
        until: str | pd.Timestamp | None = None,
    ) -> pd.DataFrame:
        """Predictions for every bar of every symbol that has its warm-up behind it.

        Bars before `training.known_at` are predicted too, and what they earned the model has seen: judged by them it
        looks too good. `since` leaves them out; `attrs["in_sample"]` counts them.

        Args:
            market: the bars; those before `since` give the windows.
            since: first bar to predict for, by its opening time, UTC.
            until: no bar that opens at or after it.

        Returns:
            Columns: symbol; made_on (the bar's opening time, UTC); available_at (its close, UTC); horizon (Timedelta
            from there to the end of the label); q10, q50, q90 (fractions, in order); model (the id). By time, then in
            the order of the market's symbols. `attrs["crossed"]` counts rows whose quantiles came out of order.

        Raises:
            ValidationError: the market has another timeframe, or one symbol where the model was trained on several, or
                the reverse.
        """
        step = parse_timeframe(market.timeframe)
        if step != parse_timeframe(self.training.timeframe):
            raise ValidationError(
                f"model {self.id} was trained on bars of {self.training.timeframe}, the market's are of "
                f"{market.timeframe}; resample the market, or train another model"
            )
        panel = feature_panel(market)
        if panel.names != self.features:
            several = len(self.training.symbols) > 1
            raise ValidationError(
                f"model {self.id} was trained on {len(self.training.symbols)} symbols and knows "
                f"{'' if several else 'nothing of '}the mean of a market; the market holds {len(market.symbols)}: give "
                f"it {'at least 2' if several else 'one at a time'}"
            )
        first = 0 if since is None else int(market.index.searchsorted(utc_time(since, "since")))
        last = len(market) if until is None else int(market.index.searchsorted(utc_time(until, "until")))
        return predict_rows(self, panel, np.arange(first, max(last, first)), step)

    def save(self, path: str | Path) -> Path:
        """Write the model to a file of skops, whole or not at all; the path."""
        from research.models.model_file import write_model

        return write_model(self, Path(path))

    @classmethod
    def load(cls, path: str | Path) -> FittedModel:
        """Read a model that `save` wrote.

        A model of another minor version of scikit-learn, or of other code, comes with a warning.

        Raises:
            ValidationError: there is no such file, it is no model, a byte of it has changed, or it holds anything but
                scikit-learn's own trees.
        """
        from research.models.model_file import read_model

        return read_model(Path(path))


def fit_rows(
    model: QuantileModel, market: Market, panel: FeaturePanel, labels: np.ndarray, rows: np.ndarray
) -> FittedModel:
    """Train on some rows of a market.

    Args:
        model: the parameters.
        market: the bars.
        panel: their features.
        labels: `forward_returns` of the market, (T, N).
        rows: positions of the times to train on, increasing.

    Raises:
        ValidationError: fewer than twice `min_samples_leaf` of them have features and a label.
    """
    from sklearn.ensemble import HistGradientBoostingRegressor

    usable = panel.ready[rows] & np.isfinite(labels[rows])
    needed = 2 * model.min_samples_leaf
    if usable.sum() < needed:
        span = f"{market.index[rows[0]]} to {market.index[rows[-1]]}" if len(rows) else "no time"
        raise ValidationError(
            f"{int(usable.sum())} rows to train on ({span}, {', '.join(market.symbols)}): after {panel.warmup} bars of "
            f"warm-up, with labels {model.horizon} + 1 bars ahead, there must be at least {needed} (2 x "
            "min_samples_leaf); give more bars, or lower min_samples_leaf"
        )
    stride = -(-int(usable.sum()) // model.max_rows)
    some = usable.any(axis=1)
    kept, chosen = rows[some][::-stride][::-1], usable[some][::-stride][::-1]
    values = panel.values[kept][chosen]
    target = (labels[kept] / panel.scale[kept])[chosen]
    with _one_thread():
        regressors = tuple(
            HistGradientBoostingRegressor(
                loss="quantile",
                quantile=quantile,
                max_iter=model.max_iter,
                learning_rate=model.learning_rate,
                max_leaf_nodes=model.max_leaf_nodes,
                min_samples_leaf=model.min_samples_leaf,
                l2_regularization=model.l2,
                early_stopping=False,
                random_state=model.seed,
            ).fit(values, target)
            for quantile in QUANTILES
        )
    known_at = market.index[kept[-1]] + (1 + model.horizon) * parse_timeframe(market.timeframe)
    until = int(market.index.searchsorted(known_at, side="right"))
    training = Training(
        first=market.index[kept[0]],
        last=market.index[kept[-1]],
        known_at=known_at,
        rows=len(target),
        symbols=market.symbols,
        timeframe=market.timeframe,
        data=market.iloc(max(int(kept[0]) + 1 - panel.warmup, 0), until).fingerprint(),
    )
    return FittedModel(model, panel.names, regressors, training, package_versions(*_PACKAGES), code_digest())


def predict_rows(fitted: FittedModel, panel: FeaturePanel, rows: np.ndarray, step: pd.Timedelta) -> pd.DataFrame:
    """The table of `FittedModel.predict` for the times at positions `rows`; `step` is the bars' length."""
    ready = panel.ready[rows]
    times, symbols = np.nonzero(ready)
    raw = np.empty((len(times), len(QUANTILES)))
    if len(times):
        values = panel.values[rows][ready]
        scale = panel.scale[rows][ready]
        with _one_thread():
            raw = np.column_stack([regressor.predict(values) * scale for regressor in fitted.regressors])
    ordered = np.sort(raw, axis=1)
    made_on = pd.DatetimeIndex(panel.index[rows][times])
    table = pd.DataFrame(
        {
            "symbol": pd.Series(np.asarray(panel.symbols, dtype=object)[symbols], dtype="str"),
            "made_on": made_on,
            "available_at": made_on + step,
            "horizon": pd.Series(fitted.model.horizon * step, index=range(len(times)), dtype="timedelta64[ns]"),
            **{name: ordered[:, place] for place, name in enumerate(COLUMNS)},
            "model": pd.Series(fitted.id, index=range(len(times)), dtype="str"),
        }
    )
    table.attrs["crossed"] = int((ordered != raw).any(axis=1).sum())
    table.attrs["in_sample"] = int((made_on < fitted.training.known_at).sum())
    return table


def _one_thread() -> Any:
    """A block in which scikit-learn's trees use one thread; a live prediction of a row waits for no others either."""
    return _thread_pools().limit(limits=1, user_api="openmp")


@cache
def _thread_pools() -> Any:
    """The thread pools of what is loaded: scikit-learn among it, for it was imported before."""
    import sklearn.ensemble  # noqa: F401 - brings its pool
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


@cache
def code_digest() -> str:
    """SHA-256 over the sources that a prediction rests on, as they are on the disk when first asked for."""
    digest = hashlib.sha256()
    for name in _SOURCES:
        digest.update(Path(__file__).with_name(name).read_bytes())
    return digest.hexdigest()
