"""What comes in: the panel of bars, candles and forecasts with their rules, the store, the downloader, the sample.

    from data import Market, load_sample, load_candles, read_candles, validate_candles
    from data import read_predictions, with_predictions, read_daily, with_daily

Names are imported when they are first used, so that `import data` costs nothing (the command line counts on it).
"""

from typing import TYPE_CHECKING

from data.errors import FetchError, LadderError, ValidationError
from data.lazy import lazy_names

if TYPE_CHECKING:
    from data.candles import CandleReport, Finding, Gap, clean_candles, validate_candles
    from data.daily import read_daily, with_daily
    from data.download import fetch_candles
    from data.market import Market
    from data.prediction_join import with_predictions
    from data.prediction_sources import FilePredictions, ModelPredictions
    from data.prediction_topic import TopicPredictions
    from data.predictions import Predictions, read_predictions
    from data.readers import read_candles
    from data.sample import load_sample
    from data.store import Store, load_candles

_HOMES = {
    "CandleReport": "data.candles",
    "FilePredictions": "data.prediction_sources",
    "Finding": "data.candles",
    "Gap": "data.candles",
    "Market": "data.market",
    "ModelPredictions": "data.prediction_sources",
    "Predictions": "data.predictions",
    "Store": "data.store",
    "TopicPredictions": "data.prediction_topic",
    "clean_candles": "data.candles",
    "fetch_candles": "data.download",
    "load_candles": "data.store",
    "load_sample": "data.sample",
    "read_candles": "data.readers",
    "read_daily": "data.daily",
    "read_predictions": "data.predictions",
    "validate_candles": "data.candles",
    "with_daily": "data.daily",
    "with_predictions": "data.prediction_join",
}

__all__ = [
    "CandleReport",
    "FetchError",
    "FilePredictions",
    "Finding",
    "Gap",
    "LadderError",
    "Market",
    "ModelPredictions",
    "Predictions",
    "Store",
    "TopicPredictions",
    "ValidationError",
    "clean_candles",
    "fetch_candles",
    "load_candles",
    "load_sample",
    "read_candles",
    "read_daily",
    "read_predictions",
    "validate_candles",
    "with_daily",
    "with_predictions",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
