"""Docstrings: their examples run, and public names say what their users need."""

import doctest
import importlib
import inspect
import pkgutil

import numpy as np
import pytest

import keras_rbcn
from keras_rbcn._backend import keras, tf

MODULES = [
    "keras_rbcn",
    *sorted(
        module.name
        for module in pkgutil.walk_packages(keras_rbcn.__path__, "keras_rbcn.")
        if not module.name.endswith("__main__")
    ),
]


def _public_names():
    found = {}
    for module_name in MODULES:
        module = importlib.import_module(module_name)
        found |= {
            name: getattr(module, name) for name in getattr(module, "__all__", [])
        }
    return found


def _examples(module):
    """The examples; they may use the package's public names without importing them."""
    names = {"np": np, "tf": tf, "keras": keras, "rbcn": keras_rbcn}
    found = doctest.DocTestFinder().find(module, extraglobs=_public_names() | names)
    return [test for test in found if test.examples]


@pytest.mark.parametrize("module_name", MODULES)
def test_examples_run(module_name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # For examples that write files.
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    report = []
    for test in _examples(importlib.import_module(module_name)):
        keras.utils.set_random_seed(0)
        runner.run(test, out=report.append)
    assert not runner.failures, "".join(report)


def _public_objects():
    found = {}
    for module_name in MODULES:
        if module_name.startswith("keras_rbcn.cli"):
            continue  # It offers commands, not names.
        module = importlib.import_module(module_name)
        for name in getattr(module, "__all__", []):
            value = getattr(module, name)
            if inspect.isclass(value) or inspect.isfunction(value):
                found[f"{value.__module__}.{value.__qualname__}"] = value
    return sorted(found.items())


def _arguments(value):
    try:
        return [name for name in inspect.signature(value).parameters if name != "self"]
    except ValueError:
        return []


@pytest.mark.parametrize(
    ("name", "value"), [pytest.param(*item, id=item[0]) for item in _public_objects()]
)
def test_public_names_are_documented(name, value):
    text = inspect.getdoc(value) or ""
    assert text.splitlines()[0].endswith((".", ":")), name
    if inspect.isclass(value) and issubclass(value, BaseException):
        return  # Users catch it; they neither call it nor pass it arguments.
    assert "Example:" in text, name
    assert ">>>" in text, name
    arguments = _arguments(value)
    # A result that users only read has attributes rather than arguments.
    assert not arguments or "Args:" in text or "Attributes:" in text, name
    for argument in arguments:
        assert f"{argument}:" in text, f"{name}: {argument} is not documented"
