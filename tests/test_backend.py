"""The import guard: which Keras, which versions, and which models."""

import ast
import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from keras_rbcn import _backend
from keras_rbcn._backend import keras

SETUP = Path(__file__).parents[1] / "setup.py"


def _run(program):
    """Runs a program in a fresh Python, and returns what it prints as JSON."""
    variables = {k: v for k, v in os.environ.items() if k != "TF_USE_LEGACY_KERAS"}
    process = subprocess.run(
        [sys.executable, "-c", program],
        env=variables,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert process.returncode == 0, process.stderr[-2000:]
    return json.loads(process.stdout.splitlines()[-1])


IMPORT_AFTER = """
import json, {first}
try:
    import keras_rbcn
except ImportError as error:
    print(json.dumps(str(error)))
"""


@pytest.mark.parametrize("first", ["tensorflow", "keras"])
def test_keras_3_imported_first_is_an_import_error_with_a_fix_that_works(first):
    message = _run(IMPORT_AFTER.format(first=first))
    assert f"imported with Keras {metadata.version('keras')}" in message
    assert "larq" in message
    if first == "keras":
        return
    # The two lines that the message ends with, put at the top as it says.
    fix = "\n".join(line.strip() for line in message.splitlines()[-2:])
    program = (
        f"{fix}\n"
        "import tensorflow as tf, keras_rbcn, json\n"
        "version = keras_rbcn._backend.keras.__version__\n"
        "print(json.dumps([tf.keras.Model.__module__, version]))"
    )
    module, version = _run(program)
    assert module.startswith("tf_keras.")
    assert version == metadata.version("tf-keras")


KERAS_3_BESIDE = """
import json, os, sys
import keras_rbcn
result = {"variable": os.environ.get("TF_USE_LEGACY_KERAS")}
result["slow"] = sorted({"keras", "sklearn", "matplotlib", "pandas"} & set(sys.modules))
import tensorflow as tf
result["module"] = tf.keras.Model.__module__
import keras
result["keras"] = keras.__version__
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
try:
    keras_rbcn._backend.require_model(model, "teacher")
except TypeError as error:
    result["error"] = str(error)
print(json.dumps(result))
"""


def test_imported_first_it_settles_keras_2_and_refuses_keras_3_models():
    result = _run(KERAS_3_BESIDE)
    assert result["variable"] == "1"
    assert result["slow"] == []  # Each takes its time to import, and may not be wanted.
    assert result["module"].startswith("tf_keras.")
    assert result["keras"].startswith("3.")
    for part in ("`teacher`", "Keras 3", "keras.src.models", "Sequential"):
        assert part in result["error"]
    for remedy in ("import tf_keras as keras", "save_weights"):
        assert remedy in result["error"]


@pytest.mark.parametrize("model", [None, "model.keras", keras.layers.Dense(2)])
def test_what_is_no_model_is_refused(model):
    with pytest.raises(TypeError, match=r"`student` to be a tf_keras\.Model.*received"):
        _backend.require_model(model, "student")


def test_keras_2_models_are_accepted():
    class Subclassed(keras.Model):
        pass

    for model in (keras.Sequential([keras.Input((2,))]), Subclassed()):
        assert _backend.require_model(model, "student") is model


@pytest.fixture
def installed(monkeypatch):
    """The versions that the check finds; those that suit, unless a test changes one."""
    versions = {
        "tensorflow": "2.21.0",
        "tf-keras": "2.21.0",
        "larq": "0.14.0",
        "larq-compute-engine": "0.16.0",
        "numpy": "1.26.4",
    }

    def version(package):
        if package not in versions:
            raise metadata.PackageNotFoundError(package)
        return versions[package]

    monkeypatch.setattr(metadata, "version", version)
    return versions


@pytest.mark.parametrize(
    ("package", "version"),
    [
        ("tensorflow", "2.18.0"),
        ("tensorflow", "2.20.0rc1"),
        ("tensorflow", "2.21.1+cpu"),
        ("numpy", "1.26.0"),
    ],
)
def test_versions_in_range_pass(installed, package, version):
    installed[package] = version
    _backend.check_versions()


@pytest.mark.parametrize(
    ("package", "version"),
    [
        ("tensorflow", "2.17.1"),
        ("tensorflow", "2.22.0"),
        ("tf-keras", "2.15.0"),
        ("larq", "0.13.3"),
        ("larq-compute-engine", "0.17.0"),
        ("numpy", "2.1.0"),
    ],
)
def test_versions_out_of_range_are_named(installed, package, version):
    installed[package] = version
    with pytest.raises(ImportError) as error:
        _backend.check_versions()
    wanted = f"{package}{_backend.REQUIREMENTS[package]}"
    assert f"needs {wanted}; found {package} {version}." in str(error.value)
    assert f"pip install '{wanted}'" in str(error.value)


@pytest.mark.parametrize("package", sorted(_backend.REQUIREMENTS))
def test_missing_packages_are_named(installed, package):
    del installed[package]
    with pytest.raises(ImportError) as error:
        _backend.check_versions()
    wanted = f"{package}{_backend.REQUIREMENTS[package]}"
    assert f"needs {wanted}, which is not installed" in str(error.value)
    assert f"pip install '{wanted}'" in str(error.value)


def test_ranges_are_those_of_setup():
    calls = [
        node
        for node in ast.walk(ast.parse(SETUP.read_text("utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "setup"
    ]
    (keywords,) = ({word.arg: word.value for word in call.keywords} for call in calls)
    requirements = map(Requirement, ast.literal_eval(keywords["install_requires"]))
    ranges = {requirement.name: requirement.specifier for requirement in requirements}
    for package, specifier in _backend.REQUIREMENTS.items():
        assert ranges[package] == SpecifierSet(specifier), package
