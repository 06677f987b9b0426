"""The one place that settles which Keras is used.

larq and Larq Compute Engine know only Keras 2. Since TensorFlow 2.16 ``tf.keras`` is
Keras 2 (the package tf_keras) only if the environment variable
``TF_USE_LEGACY_KERAS`` is set before TensorFlow is imported. This module sets it,
checks what is installed, and hands out ``keras`` and ``tf`` to the other modules.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import platform
import sys
import tempfile
import warnings
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.specifiers import SpecifierSet

# The same ranges as in setup.py (a test compares them); those of the packages whose
# wrong version breaks keras_rbcn in ways that do not name the version.
REQUIREMENTS = {
    "tensorflow": ">=2.18,<2.22",
    "tf-keras": ">=2.18,<2.22",
    "larq": ">=0.14,<0.15",
    "larq-compute-engine": ">=0.16,<0.17",
    "numpy": ">=1.26,<2",
}

# The exit code of the command `keras-rbcn` after Ctrl-C, as of any program.
INTERRUPTED = 130

_KERAS_3_HELP = """\
keras_rbcn needs Keras 2 (tf_keras), because larq and Larq Compute Engine know only \
Keras 2, but TensorFlow has already been imported with Keras {version}.
Import keras_rbcn before tensorflow, keras, tf_keras and larq, or put these two lines \
at the top of your program (in a notebook: restart the runtime, then run them first):
    import os
    os.environ["TF_USE_LEGACY_KERAS"] = "1\""""


def check_versions() -> None:
    """Checks the installed packages against `REQUIREMENTS`.

    Raises:
        ImportError: If a package is missing or its version is out of range; names the
            package, the version found and the range.
    """
    for package, specifier in REQUIREMENTS.items():
        install = f"Install it with: python -m pip install '{package}{specifier}'"
        try:
            version = metadata.version(package)
        except metadata.PackageNotFoundError:
            raise ImportError(
                f"keras_rbcn needs {package}{specifier}, which is not installed. "
                f"{install}"
            ) from None
        # Pre-releases and local builds ("2.20.0rc1", "2.20.0+cpu") count by number.
        if not SpecifierSet(specifier).contains(version, prereleases=True):
            raise ImportError(
                f"keras_rbcn needs {package}{specifier}; found {package} {version}. "
                f"{install}"
            )


def installed_versions() -> dict[str, str]:
    """Versions of Python, of keras_rbcn and of the packages in `REQUIREMENTS`."""
    packages = ("keras-rbcn", *REQUIREMENTS)
    return {
        "python": platform.python_version(),
        **{package: metadata.version(package) for package in packages},
    }


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keeps TensorFlow's start-up chatter off the standard error stream.

    For the command `keras-rbcn`, whose errors are one line. TensorFlow's C++ code
    writes some of it before it reads `TF_CPP_MIN_LOG_LEVEL`, so that the stream itself
    is put aside during the import; what fails there is an exception, and is not lost.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for name in ("tensorflow", "absl"):
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        before = os.dup(2)
    except OSError:  # There is no such stream.
        yield
        return
    with tempfile.TemporaryFile() as aside:
        os.dup2(aside.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(before, 2)
            os.close(before)


def _end_in_one_line_if_interrupted() -> None:
    """Ends this process, on Ctrl-C outside of any command, as a command ends.

    TensorFlow takes its seconds to import, and no command runs yet.
    """
    before = sys.excepthook

    def hook(kind: Any, error: Any, trace: Any) -> None:
        if not issubclass(kind, KeyboardInterrupt):
            before(kind, error, trace)
            return
        print("interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)

    sys.excepthook = hook


def _import_keras_2() -> tuple[Any, Any]:
    """Imports TensorFlow with Keras 2, and returns `(keras, tf)`."""
    if "tensorflow" not in sys.modules:
        os.environ["TF_USE_LEGACY_KERAS"] = "1"
    # A library leaves the streams to the program; this program is our own.
    is_command = Path(next(iter(sys.argv), "")).stem == "keras-rbcn"
    if is_command:
        _end_in_one_line_if_interrupted()
    with _quietly() if is_command else contextlib.nullcontext():
        tf = importlib.import_module("tensorflow")
        if not tf.keras.Model.__module__.startswith("tf_keras."):
            version = getattr(tf.keras, "__version__", "(version unknown)")
            raise ImportError(_KERAS_3_HELP.format(version=version))
        # It has a copy of TensorFlow's C++ code, with chatter of its own.
        importlib.import_module("larq_compute_engine")
    return importlib.import_module("tf_keras"), tf


def _import_tfmot() -> Any:
    """Imports what of tensorflow-model-optimization is used, without its warnings."""
    with warnings.catch_warnings(), _without_keras_3():
        # It looks at TensorFlow's version in a way that is deprecated.
        warnings.simplefilter("ignore", DeprecationWarning)
        return importlib.import_module(
            "tensorflow_model_optimization.quantization.keras"
        )


@contextlib.contextmanager
def _without_keras_3() -> Iterator[None]:
    """Lets `import keras` fail as if it were not installed.

    tensorflow-model-optimization looks there for a class that Keras 3 does not have,
    and goes on without; but Keras 3 takes longer to import than all of keras_rbcn.
    """
    if "keras" in sys.modules:
        yield
        return
    sys.modules["keras"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["keras"]


def require_model(model: Any, name: str) -> Any:
    """Returns `model` if it is a Keras 2 model, and says what to do if it is not.

    Args:
        model: What the user passed.
        name: The argument's name, for the message.

    Raises:
        TypeError: If `model` is a Keras 3 model, or no Keras model at all.
    """
    if isinstance(model, keras.Model):
        return model
    if any(base.__module__.partition(".")[0] == "keras" for base in type(model).mro()):
        raise TypeError(
            f"Expected `{name}` to be a Keras 2 (tf_keras) model, received a Keras 3 "
            f"object: {name}={type(model).__module__}.{type(model).__name__}. Build it "
            "again with `import tf_keras as keras` in place of `import keras`, or save "
            "its weights with `model.save_weights('teacher.weights.h5')` and load them "
            "into the same architecture built with tf_keras; a whole Keras 3 model "
            "file does not load in Keras 2."
        )
    raise TypeError(
        f"Expected `{name}` to be a tf_keras.Model, received: "
        f"{name}={model!r} of type {type(model).__name__}."
    )


def require_student(model: Any, name: str) -> Any:
    """Returns the student if `model` is an `RBCNModel`, or else `model` itself.

    Args:
        model: What the user passed.
        name: The argument's name, for the message.

    Raises:
        TypeError: As `require_model`.
    """
    return require_model(getattr(model, "student", model), name)


check_versions()
keras, tf = _import_keras_2()
tfmot = _import_tfmot()
