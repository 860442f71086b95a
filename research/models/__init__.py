"""A forecast of quantiles that is trained, judged and kept without knowing the future.

    from research.models import QuantileModel, WalkForwardPlan, model_report, walk_forward_predictions

    predictions = walk_forward_predictions(QuantileModel(), market, WalkForwardPlan(train="365D", refit="90D"))
    print(model_report(predictions, market))
    QuantileModel().fit(market).save("btc.skops")

Names are imported when they are first used: scikit-learn alone takes a second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from data.lazy import lazy_names

if TYPE_CHECKING:
    from research.models.features import FeaturePanel, feature_panel
    from research.models.labels import forward_returns
    from research.models.prediction_report import ModelReport, model_report
    from research.models.quantile_model import FittedModel, QuantileModel
    from research.models.walk_forward_training import WalkForwardPredictions, walk_forward_predictions
    from research.walk_forward_plan import WalkForwardPlan

__all__ = [
    "FeaturePanel",
    "FittedModel",
    "ModelReport",
    "QuantileModel",
    "WalkForwardPlan",
    "WalkForwardPredictions",
    "feature_panel",
    "forward_returns",
    "model_report",
    "walk_forward_predictions",
]

_HOMES = {
    "FeaturePanel": "research.models.features",
    "FittedModel": "research.models.quantile_model",
    "ModelReport": "research.models.prediction_report",
    "QuantileModel": "research.models.quantile_model",
    "WalkForwardPlan": "research.walk_forward_plan",
    "WalkForwardPredictions": "research.models.walk_forward_training",
    "feature_panel": "research.models.features",
    "forward_returns": "research.models.labels",
    "model_report": "research.models.prediction_report",
    "walk_forward_predictions": "research.models.walk_forward_training",
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
