"""The file of a model: the same model comes back, a changed byte is found, and nothing but a model is ever loaded."""

from __future__ import annotations

import io
import json
import os
import pickle
import subprocess
import warnings
import zipfile
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import skops.io
from hypothesis import given, settings
from hypothesis import strategies as st

from data import ValidationError
from research.models import FittedModel
from research.models.model_file import TRUSTED, read_model, sealed
from tests.research.models.made_bars import TINY, made_bars, same_trees

MARKET = made_bars(300, 2)
FITTED = TINY.fit(MARKET)


@pytest.fixture
def path(tmp_path):
    return FITTED.save(tmp_path / "deep" / "model.skops")


def content_of(path):
    return skops.io.loads(path.read_bytes(), trusted=list(TRUSTED))


def rewritten(path, content):
    """The file with other content, sealed as a forger would."""
    path.write_bytes(sealed(skops.io.dumps(content)))
    return path


# What comes back


def test_the_same_model_comes_back(path):
    back = FittedModel.load(path)
    assert same_trees(back, FITTED)
    assert back.id == FITTED.id
    assert (back.model, back.features, back.training) == (FITTED.model, FITTED.features, FITTED.training)
    assert (back.versions, back.code) == (FITTED.versions, FITTED.code)
    pd.testing.assert_frame_equal(back.predict(MARKET), FITTED.predict(MARKET), check_exact=True)


def test_two_files_of_one_model_hold_the_same_trees_and_words(path, tmp_path):
    again = FittedModel.load(FittedModel.load(path).save(tmp_path / "again.skops"))
    assert again.id == FITTED.id
    assert same_trees(again, FITTED)


def test_file_says_what_the_model_was_made_of(path):
    content = content_of(path)
    assert content["format"] == 1
    assert content["parameters"]["max_iter"] == 5
    assert content["training"]["data"] == MARKET.fingerprint()
    assert content["training"]["symbols"] == ["S0/USD", "S1/USD"]
    assert content["training"]["timeframe"] == "1h"
    assert content["training"]["first"] == "2024-01-08T00:00:00+00:00"
    assert set(content["versions"]) == {"python", "numpy", "scikit-learn", "skops"}
    assert len(content["code"]) == 64
    assert content["features"] == list(FITTED.features)


def test_a_file_that_is_there_stays_whole_when_saving_fails(path, monkeypatch):
    before = path.read_bytes()
    monkeypatch.setattr(skops.io, "dumps", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        FITTED.save(path)
    assert path.read_bytes() == before
    assert [item.name for item in path.parent.iterdir()] == ["model.skops"]


# What is broken


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_any_changed_byte_is_found(tmp_path_factory, data):
    whole = sealed(skops.io.dumps({"format": 1, "array": np.arange(5.0)}))
    place = data.draw(st.integers(0, len(whole) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda value: value != whole[place]))
    path = tmp_path_factory.mktemp("broken") / "model.skops"
    path.write_bytes(whole[:place] + bytes([other]) + whole[place + 1 :])
    with pytest.raises(ValidationError, match=r"SHA-256 differs|carries no seal|is no model file"):
        read_model(path)


def test_a_model_with_a_changed_byte_or_cut_short_is_not_loaded(path):
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 1
    path.write_bytes(whole)
    with pytest.raises(ValidationError, match="its bytes are not those that were saved"):
        FittedModel.load(path)
    path.write_bytes(whole[:-100])
    with pytest.raises(ValidationError, match="carries no seal"):
        FittedModel.load(path)


def test_what_is_no_model_is_named(path, tmp_path):
    with pytest.raises(ValidationError, match=r"nowhere\.skops: cannot be read"):
        FittedModel.load(tmp_path / "nowhere.skops")
    with pytest.raises(ValidationError, match="cannot be read"):
        FittedModel.load(tmp_path)
    rewritten(path, {"format": 2})
    with pytest.raises(ValidationError, match="is of format 2, this version reads 1"):
        FittedModel.load(path)
    rewritten(path, [1, 2])
    with pytest.raises(ValidationError, match="is of format 'list'"):
        FittedModel.load(path)
    rewritten(path, {"format": 1})
    with pytest.raises(ValidationError, match="is no model of this version"):
        FittedModel.load(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content["parameters"].update(max_iter=50),
        lambda content: content["parameters"].update(other=1),
        lambda content: content["parameters"].pop("seed"),
        lambda content: content["parameters"].update(max_iter=-1),
        lambda content: content["training"].update(rows=1),
        lambda content: content["training"].update(first="soon"),
        lambda content: content["features"].reverse(),
        lambda content: content.pop("code"),
    ],
)
def test_words_that_are_not_the_models_own_are_found(path, change):
    content = content_of(path)
    change(content)
    with pytest.raises(ValidationError, match=r"is no model of this version|max_iter -1"):
        FittedModel.load(rewritten(path, content))


# What would run code


class Evil:
    """What a pickle can name: a function and what to call it with."""

    def __reduce__(self):
        return os.system, ("touch ran",)


def test_a_pickle_is_never_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.skops"
    for content in (pickle.dumps(Evil()), pickle.dumps(FITTED.regressors), pickle.dumps(Evil(), protocol=0)):
        path.write_bytes(content)
        with pytest.raises(ValidationError, match=r"is no model file\. A pickle is never read"):
            FittedModel.load(path)
    assert not (tmp_path / "ran").exists()


def schema_of(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return json.loads(archive.read("schema.json")), {name: archive.read(name) for name in archive.namelist()}


def with_schema(schema, members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, json.dumps(schema) if name == "schema.json" else content)
    return sealed(buffer.getvalue())


@pytest.mark.parametrize(
    ("module", "name"), [("os", "system"), ("posix", "system"), ("subprocess", "Popen"), ("builtins", "eval")]
)
def test_a_forged_file_that_names_a_function_is_refused_and_runs_nothing(tmp_path, monkeypatch, module, name):
    monkeypatch.chdir(tmp_path)
    # As skops writes an object that is rebuilt by calling something: the something is put in its place.
    schema, members = schema_of(skops.io.dumps({"format": 1, "evil": np.float64}))
    planted = {"__class__": name, "__module__": module, "__loader__": "TypeNode", "__id__": 1}
    key = schema["content"]["evil"]
    for loader in ("TypeNode", "FunctionNode", "ObjectNode"):
        key.clear()
        key.update({**planted, "__loader__": loader, "content": name if loader == "FunctionNode" else None})
        path = tmp_path / "model.skops"
        path.write_bytes(with_schema(schema, members))
        with pytest.raises(ValidationError, match=rf"model.skops: (holds .*{name}|cannot be read)"):
            FittedModel.load(path)
    assert [item.name for item in tmp_path.iterdir()] == ["model.skops"]


def test_an_object_of_a_class_of_ones_own_is_refused(path):
    content = content_of(path)
    content["note"] = _Note("hello")
    with pytest.raises(ValidationError, match=r"holds .*_Note, which no model of ours needs"):
        FittedModel.load(rewritten(path, content))
    content["note"] = subprocess.run
    with pytest.raises(ValidationError, match=r"holds subprocess\.run"):
        FittedModel.load(rewritten(path, content))


class _Note:
    def __init__(self, text):
        self.text = text


@pytest.mark.parametrize(
    ("field", "value"), [("left", 10**6), ("right", 0), ("left", 0), ("feature_idx", 10**9), ("feature_idx", -1)]
)
def test_trees_that_lead_out_of_their_arrays_are_not_used(path, field, value):
    content = content_of(path)
    nodes = content["regressors"][1]._predictors[2][0].nodes
    assert nodes["is_leaf"][0] == 0
    nodes[field][0] = value
    with pytest.raises(ValidationError, match="regressor of 50% has trees that lead nowhere"):
        FittedModel.load(rewritten(path, content))


def test_other_estimators_than_the_models_own_are_not_used(path):
    from sklearn.dummy import DummyRegressor

    content = content_of(path)
    content["regressors"].reverse()
    with pytest.raises(ValidationError, match="regressor of 10%"):
        FittedModel.load(rewritten(path, content))
    content["regressors"][0] = DummyRegressor().fit([[0.0]], [1.0])
    with pytest.raises(ValidationError, match=r"DummyRegressor.* where a model has three regressors"):
        FittedModel.load(rewritten(path, content))


# Versions


def test_another_minor_version_of_sklearn_or_other_code_warns(path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FittedModel.load(path)
    older = replace(FITTED, versions={**FITTED.versions, "scikit-learn": "1.2.3"})
    with pytest.warns(UserWarning, match=r"was trained by scikit-learn 1\.2\.3 and is read by 1\."):
        FittedModel.load(older.save(path))
    patch = FITTED.versions["scikit-learn"].rsplit(".", 1)[0] + ".99"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FittedModel.load(replace(FITTED, versions={**FITTED.versions, "scikit-learn": patch}).save(path))
    with pytest.warns(UserWarning, match="was trained by other code"):
        FittedModel.load(replace(FITTED, code="0" * 64).save(path))
