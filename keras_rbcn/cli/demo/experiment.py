"""Trains the demo's networks, exports them, and runs the exported file."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from keras_rbcn import recipes
from keras_rbcn._backend import keras, tf
from keras_rbcn.cli.demo.network import build_network, plain_convolution
from keras_rbcn.cli.demo.plots import plot_accuracy_and_size, plot_curves
from keras_rbcn.cli.demo.results import DemoResult, FileResult, NetworkResult
from keras_rbcn.cli.files import written_beside
from keras_rbcn.conversion import copy_weights, full_precision_counterpart
from keras_rbcn.datasets import Splits, digits
from keras_rbcn.export import ExportReport, export_tflite
from keras_rbcn.layers import RectifiedConv2D
from keras_rbcn.tflite import TFLiteModel
from keras_rbcn.training import RBCNModel

BATCH_SIZE = 64
# With a learning rate of 3e-3 and without smoothing, 1-bit students end anywhere from
# 97 to 99 %, depending on the seed; so they end at 98 to 99 % or more.
LABEL_SMOOTHING = 0.1
ADVERSARIAL_WEIGHT = 0.01
CLASSES = 10
TEST_FRACTION = 0.2
# Lines of progress for each network.
PROGRESS_LINES = 5
FILE_NAME = "student.tflite"

Progress = Callable[[str], None]


def run_demo(
    output: Path, epochs: int = 25, seed: int = 0, progress: Progress = print
) -> DemoResult:
    """Runs the demo: two teachers, five 1-bit students of them, one .tflite file.

    Four students start from the kernels of a usual teacher and have the same budget:
    plain larq, rectified, rectified with feature discriminators, and rectified with
    distillation, as `recipes.default` has it. The last one has the same recipe, but
    starts from its own full-precision counterpart, which is its teacher too. It is left
    as `student.tflite`, after the file was run on all test images; beside it are its
    export report, the results as JSON and Markdown, and two plots.

    For the same figures in each run, also call
    `tf.config.experimental.enable_op_determinism()` before.

    Args:
        output: Existing folder for the files.
        epochs: Of training of each network.
        seed: Of the split, the weights and the order of the images.
        progress: Called with a line of text every few epochs.

    Returns:
        The results, but for the times the same for the same seed and machine.

    Example:
        >>> result = run_demo(Path(tempfile.mkdtemp()))  # doctest: +SKIP
        >>> result.file.same_class  # doctest: +SKIP
        360
    """
    data = digits(seed=seed, test_fraction=TEST_FRACTION)
    trainer = _Trainer(data, epochs, seed, progress)
    trained = trainer.train_all()
    progress("exporting the networks, and running the files on the test images")
    with tempfile.TemporaryDirectory() as scratch:
        reports = [
            export_tflite(model, Path(scratch, f"{number}.tflite"), data.test.x)
            for number, (model, *_) in enumerate(trained[:-1])
        ]
    final, *_ = trained[-1]
    reports.append(
        export_tflite(final, output / FILE_NAME, data.test.x, len(data.test.x))
    )
    networks = [
        _network_result(model, name, seconds, history, report, data.test)
        for (model, name, seconds, history), report in zip(
            trained, reports, strict=True
        )
    ]
    result = DemoResult(
        seed=seed,
        epochs=epochs,
        train_images=len(data.train.x),
        test_images=len(data.test.x),
        networks=networks,
        file=_file_result(output / FILE_NAME, final, networks[-1], reports[-1], data),
        versions=reports[-1].versions,
    )
    _write(output, result, reports[-1])
    return result


class _Trainer:
    """Trains networks on the same data with the same budget."""

    def __init__(
        self, data: Splits, epochs: int, seed: int, progress: Progress
    ) -> None:
        self._steps_per_epoch = -(-len(data.train.x) // BATCH_SIZE)
        self._epochs = epochs
        self._seed = seed
        self._progress = progress

    def train_all(self) -> list[tuple[Any, str, float, dict[str, list[float]]]]:
        """Models with their names, seconds of training and logs."""
        recipe = recipes.default()
        self._start()
        teacher = build_network(keras.layers.Conv2D, "teacher", activation=True)
        results = [self._fit(teacher, "full-precision teacher", recipe)]
        counterpart = self._counterpart()
        optimizer = recipe.pretraining_optimizer(self._epochs, self._steps_per_epoch)
        results.append(
            self._train(counterpart, "full-precision counterpart", optimizer=optimizer)
        )
        plain = self._student(plain_convolution, teacher)
        results.append(self._fit(plain, "1-bit plain", recipe))
        student = self._student(RectifiedConv2D, teacher)
        alone = recipe.without_teacher()
        results.append(self._fit(alone.model(student), "1-bit rectified", alone))
        for name, taught in (
            ("1-bit rectified + discriminators", _judged(recipe)),
            ("1-bit rectified + distillation", recipe),
        ):
            student = self._student(RectifiedConv2D, teacher)
            results.append(self._fit(taught.model(student, teacher), name, taught))
        magnitude = recipe.pretrained_kernel_magnitude
        student = self._student(RectifiedConv2D, counterpart, magnitude)
        model = recipe.model(student, counterpart)
        results.append(self._fit(model, "1-bit pretrained + distillation", recipe))
        return results

    def _counterpart(self) -> Any:
        self._start()
        return full_precision_counterpart(build_network(RectifiedConv2D, "student"))

    def _student(
        self, convolution: Any, teacher: Any, magnitude: float | None = None
    ) -> Any:
        self._start()
        student = build_network(convolution, "student")
        copy_weights(teacher, student, magnitude)
        return student

    def _start(self) -> None:
        """Every network starts from the same random state, whatever ran before."""
        keras.utils.set_random_seed(self._seed)

    def _fit(self, model: Any, name: str, recipe: recipes.Recipe) -> Any:
        arguments = recipe.compile_arguments(self._epochs, self._steps_per_epoch)
        if not isinstance(model, RBCNModel):
            arguments = {"optimizer": arguments["optimizer"]}
        return self._train(model, name, **arguments)

    def _train(self, model: Any, name: str, **arguments: Any) -> Any:
        # The same split as in arrays; made anew, so that each network gets the batches
        # in the same order.
        train, test = (
            batches.map(lambda x, y: (x, tf.one_hot(y, CLASSES)))
            for batches in digits(BATCH_SIZE, self._seed, TEST_FRACTION)
        )
        model.compile(
            loss=keras.losses.CategoricalCrossentropy(
                from_logits=True, label_smoothing=LABEL_SMOOTHING
            ),
            metrics=["accuracy"],
            **arguments,
        )
        start = time.perf_counter()
        history = model.fit(
            train,
            epochs=self._epochs,
            validation_data=test,
            verbose=0,
            callbacks=[_ProgressLines(name, self._epochs, self._progress)],
        ).history
        return model, name, time.perf_counter() - start, history


def _judged(recipe: recipes.Recipe) -> recipes.Recipe:
    """The recipe with feature discriminators in place of distillation."""
    settings = dataclasses.replace(
        recipe.settings, adversarial_weight=ADVERSARIAL_WEIGHT, distillation=0.0
    )
    return dataclasses.replace(recipe, settings=settings)


class _ProgressLines(keras.callbacks.Callback):
    """Tells every few epochs how the training goes."""

    def __init__(self, name: str, epochs: int, progress: Progress) -> None:
        super().__init__()
        self._name = name
        self._epochs = epochs
        self._progress = progress

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        done = epoch + 1
        every = max(1, self._epochs // PROGRESS_LINES)
        if done % every and done not in (1, self._epochs):
            return
        self._progress(
            f"{self._name:<33} epoch {done:>3}/{self._epochs}  "
            f"loss {logs['loss']:.4f}  accuracy {logs['accuracy']:.2%}  "
            f"test accuracy {logs['val_accuracy']:.2%}"
        )


def _predict(model: Any, images: Any) -> Any:
    return model.predict(images, batch_size=BATCH_SIZE, verbose=0)


def _correct(logits: Any, labels: Any) -> int:
    return int(np.sum(np.argmax(logits, axis=1) == labels))


def _network_result(
    model: Any,
    name: str,
    seconds: float,
    history: dict[str, list[float]],
    report: ExportReport,
    test: Any,
) -> NetworkResult:
    correct = _correct(_predict(model, test.x), test.y)
    return NetworkResult(
        name=name,
        kind="student" if report.binary_convolutions else "teacher",
        correct=correct,
        accuracy=correct / len(test.y),
        bytes=report.bytes,
        seconds=round(seconds, 2),
        history={key: [float(v) for v in values] for key, values in history.items()},
    )


def _file_result(
    path: Path, model: Any, network: NetworkResult, report: ExportReport, data: Splits
) -> FileResult:
    """Runs the file on all test images, and compares it with the Keras model."""
    test = data.test
    ours, theirs = TFLiteModel(path).predict(test.x), _predict(model, test.x)
    correct = _correct(ours, test.y)
    return FileResult(
        name=path.name,
        network=network.name,
        correct=correct,
        accuracy=correct / len(test.y),
        bytes=path.stat().st_size,
        sha256=report.sha256,
        same_class=_correct(ours, np.argmax(theirs, axis=1)),
        max_difference=float(np.max(np.abs(ours - theirs))),
    )


def _write(output: Path, result: DemoResult, report: ExportReport) -> None:
    for name, text in (
        ("results.json", result.to_json()),
        ("results.md", result.to_markdown()),
        ("export_report.json", report.to_json() + "\n"),
    ):
        with written_beside(output / name) as beside:
            beside.write_text(text, "utf-8")
    for name, figure in (
        ("training_curves.png", plot_curves(result)),
        ("accuracy_and_size.png", plot_accuracy_and_size(result)),
    ):
        with written_beside(output / name) as beside:
            figure.savefig(beside)
