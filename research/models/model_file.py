"""The file of a trained model: a zip of skops, no pickle, sealed by a hash of its own bytes.

A pickle runs whatever code it names as it is read. skops builds objects from a list of types, and refuses the rest:
what is trusted here beyond its own list (numbers, texts, arrays, scikit-learn's estimators) is the one class in
`TRUSTED`. skops leaves that one to the reader, for scikit-learn follows the indices in a tree without a look at their
bounds; so `_check_trees` looks at them before anything is predicted.

The seal, SHA-256 over all other bytes, stands in the zip's comment. It finds a file that broke, not a forger, who can
seal anew: what keeps a forged file from running code is the list of types.
"""

from __future__ import annotations

import hashlib
import re
import warnings
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from data.atomic import replacing
from data.errors import ValidationError
from engine.code_version import code_version, package_versions
from research.models.quantile_model import QUANTILES, FittedModel, QuantileModel, Training, code_digest

FORMAT: Final = 1
TRUSTED: Final = ("sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",)

_SEAL: Final = b"ladder model, sha256 "
_SEALED: Final = re.compile(re.escape(_SEAL) + rb"([0-9a-f]{64})")
# The comment's length is the last field of a zip, two bytes; skops writes none.
_NO_COMMENT: Final = b"\0\0"
_SEAL_LENGTH: Final = len(_SEAL) + 64


def write_model(fitted: FittedModel, path: Path) -> Path:
    """Write a model, whole or not at all; the path."""
    import skops.io

    training = asdict(fitted.training)
    content = {
        "format": FORMAT,
        "id": fitted.id,
        "parameters": asdict(fitted.model),
        "features": list(fitted.features),
        "training": {
            **training,
            **{name: training[name].isoformat() for name in ("first", "last", "known_at")},
            "symbols": list(fitted.training.symbols),
        },
        "versions": dict(fitted.versions),
        "code": fitted.code,
        "commit": code_version() or "",
        "regressors": list(fitted.regressors),
    }
    with replacing(path) as temporary:
        temporary.write_bytes(sealed(skops.io.dumps(content)))
    return path


def read_model(path: Path) -> FittedModel:
    """Read a model; see `FittedModel.load`."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ValidationError(
            f"{path}: cannot be read ({error.strerror or error}); name a file that save wrote"
        ) from error
    _check_seal(path, data)
    content = _loaded(path, data)
    try:
        fitted = _fitted(content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValidationError(f"{path}: is no model of this version ({error!r}); train and save it anew") from error
    _check_trees(path, fitted)
    _warn_of_other_versions(path, fitted)
    return fitted


def sealed(data: bytes) -> bytes:
    """A zip without a comment, with its own hash as its comment."""
    if not data.endswith(_NO_COMMENT):
        raise ValueError("the zip has a comment already")
    digest = hashlib.sha256(data).hexdigest().encode()
    return data[:-2] + _SEAL_LENGTH.to_bytes(2, "little") + _SEAL + digest


def _check_seal(path: Path, data: bytes) -> None:
    if not data.startswith(b"PK"):
        raise ValidationError(
            f"{path}: is no model file. A pickle is never read, for reading it runs its code; give a file that "
            "FittedModel.save wrote"
        )
    seal = _SEALED.fullmatch(data[-_SEAL_LENGTH:])
    body = data[: -_SEAL_LENGTH - 2] + _NO_COMMENT
    length = data[-_SEAL_LENGTH - 2 : -_SEAL_LENGTH]
    if seal is None or length != _SEAL_LENGTH.to_bytes(2, "little"):
        raise ValidationError(
            f"{path}: carries no seal, so it was cut off, or written by another program; copy it anew"
        )
    if hashlib.sha256(body).hexdigest().encode() != seal[1]:
        raise ValidationError(f"{path}: its bytes are not those that were saved (SHA-256 differs); copy it anew")


def _loaded(path: Path, data: bytes) -> dict[str, Any]:
    """What the file holds, built from trusted types alone."""
    import skops.io

    try:
        foreign = sorted(set(skops.io.get_untrusted_types(data=data)) - set(TRUSTED))
    except Exception as error:  # whatever a forged schema raises, the file is not read
        raise ValidationError(f"{path}: cannot be read as a file of skops ({error})") from error
    if foreign:
        raise ValidationError(
            f"{path}: holds {', '.join(foreign)}, which no model of ours needs; it is not loaded, for such a type may "
            "run code. Give a file that FittedModel.save wrote"
        )
    try:
        content = skops.io.loads(data, trusted=list(TRUSTED))
    except Exception as error:  # as above
        raise ValidationError(f"{path}: cannot be read as a file of skops ({error})") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        found = content.get("format") if isinstance(content, dict) else type(content).__name__
        raise ValidationError(f"{path}: is of format {found!r}, this version reads {FORMAT}; train and save it anew")
    return content


def _fitted(content: dict[str, Any]) -> FittedModel:
    known = {item.name for item in fields(QuantileModel)}
    if set(content["parameters"]) != known:
        raise ValueError(f"parameters {sorted(content['parameters'])}")
    training = dict(content["training"])
    for name in ("first", "last", "known_at"):
        training[name] = pd.Timestamp(training[name])
    training["symbols"] = tuple(training["symbols"])
    fitted = FittedModel(
        model=QuantileModel(**content["parameters"]),
        features=tuple(content["features"]),
        regressors=tuple(content["regressors"]),
        training=Training(**training),
        versions=dict(content["versions"]),
        code=str(content["code"]),
    )
    if fitted.id != content["id"]:
        raise ValueError(f"id {content['id']!r}, its content makes {fitted.id}")
    return fitted


def _check_trees(path: Path, fitted: FittedModel) -> None:
    """Refuse trees whose indices lead out of their arrays, or in a circle."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    kinds = [type(one) for one in fitted.regressors]
    if kinds != [HistGradientBoostingRegressor] * len(QUANTILES):
        raise ValidationError(f"{path}: holds {[kind.__name__ for kind in kinds]} where a model has three regressors")
    for regressor, quantile in zip(fitted.regressors, QUANTILES, strict=True):
        try:
            whole = (
                regressor.quantile == quantile
                and regressor.n_features_in_ == len(fitted.features)
                and regressor.is_categorical_ is None
                and regressor._preprocessor is None  # noqa: SLF001 - what predict reads
                and all(_whole(tree.nodes, len(fitted.features)) for (tree,) in regressor._predictors)  # noqa: SLF001
            )
        except (AttributeError, IndexError, TypeError, ValueError, KeyError) as error:
            raise ValidationError(f"{path}: its regressor of {quantile:.0%} is malformed ({error})") from error
        if not whole:
            raise ValidationError(
                f"{path}: its regressor of {quantile:.0%} has trees that lead nowhere; it is not used"
            )


def _whole(nodes: np.ndarray, features: int) -> bool:
    """Whether every path through a tree ends in a leaf of it."""
    inner = nodes[nodes["is_leaf"] == 0]
    place = np.flatnonzero(nodes["is_leaf"] == 0)
    inside = all(((inner[side] > place) & (inner[side] < len(nodes))).all() for side in ("left", "right"))
    known = ((inner["feature_idx"] >= 0) & (inner["feature_idx"] < features) & (inner["is_categorical"] == 0)).all()
    return bool(nodes.ndim == 1 and len(nodes) and inside and known)


def _warn_of_other_versions(path: Path, fitted: FittedModel) -> None:
    trained, here = fitted.versions.get("scikit-learn", ""), package_versions("scikit-learn")["scikit-learn"]
    if trained.split(".")[:2] != here.split(".")[:2]:
        warnings.warn(
            f"{path}: was trained by scikit-learn {trained or '(unknown)'} and is read by {here}: compare its "
            "predictions with recorded ones, or train it anew",
            stacklevel=4,
        )
    if fitted.code != code_digest():
        warnings.warn(
            f"{path}: was trained by other code of features, label or model (sha256 {fitted.code[:12]}, here "
            f"{code_digest()[:12]}): its predictions may differ from those it was judged by; train it anew",
            stacklevel=4,
        )
