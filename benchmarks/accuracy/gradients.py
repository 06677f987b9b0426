"""How strongly does each loss pull at the kernels, and do the discriminators teach?

Trains one contender for some epochs, and looks at the end of each: at the norm of the
gradient of each weighted loss to all latent kernels, at its angle to the task's, at the
discriminators' accuracies, and at how far the tapped feature maps are from the
teacher's.

    python benchmarks/accuracy/gradients.py --contender R+G
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")

import numpy as np
from contenders import contender, names
from lines import needed_teacher, read_lines
from parts import model_of, student_of
from places import RESULTS, Places
from sizes import SIZES

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from result_files import described, machine, markdown_table, write_results  # noqa: E402
from study_images import batches, images  # noqa: E402
from training import compile_for  # noqa: E402

from keras_rbcn import losses  # noqa: E402
from keras_rbcn._backend import keras, tf  # noqa: E402

SAMPLES = 512
KERNEL_WEIGHT = 1e-4


def features(model: Any, taps: Any, side: int) -> Any:
    """A view of a model that returns its outputs, and what the taps are of."""
    tapped = [model.get_layer(tap[side]).output for tap in taps]
    return keras.Model(model.input, (model.output, tapped))


class Watch(keras.callbacks.Callback):
    """Measures at the end of each epoch, on images that stay the same."""

    def __init__(self, x: Any, y: Any) -> None:
        super().__init__()
        self.x, self.y = tf.constant(x), tf.constant(y)
        self.rows: list[dict[str, Any]] = []

    def on_train_begin(self, logs: Any = None) -> None:
        self.measure(0)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.measure(epoch + 1)

    def measure(self, epoch: int) -> None:
        model = self.model
        kernels, settings = model.latent_kernels, model.settings
        student = features(model.student, model.taps, 0)
        teacher = features(model.teacher, model.taps, 1)
        theirs, real = teacher(self.x, training=False)
        # What a run in training mode changes is put back.
        kept = [(v, v.numpy()) for v in model.student.non_trainable_variables]
        gradients, accuracies = {}, []
        with tf.GradientTape(persistent=True) as tape:
            outputs, fake = student(self.x, training=True)
            terms = {"task": model.compute_loss(self.x, self.y, outputs)}
            layers = [x for x in model.student.layers if hasattr(x, "kernel_loss")]
            rule = settings.kernel_loss_gradient
            terms[f"kernel, weight {KERNEL_WEIGHT:g}"] = KERNEL_WEIGHT * tf.add_n(
                [layer.kernel_loss(rule) for layer in layers]
            )
            scores = [
                (judge(r), judge(f))
                for judge, r, f in zip(model.discriminators, real, fake, strict=True)
            ]
            kind = settings.adversarial_loss
            fooled = [losses.student_adversarial_loss(f, kind, r) for r, f in scores]
            weight = settings.adversarial_weight
            terms[f"adversarial, weight {weight:g}"] = (
                weight * tf.add_n(fooled) / len(fooled)
            )
            terms["distillation, weight 0.9"] = 0.9 * losses.distillation_loss(
                theirs, outputs, 4.0
            )
        accuracies = [
            float(losses.discriminator_accuracy(r, f, kind)) for r, f in scores
        ]
        for name, term in terms.items():
            parts = tape.gradient(term, kernels, unconnected_gradients="zero")
            gradients[name] = np.concatenate([np.ravel(part) for part in parts])
        for variable, value in kept:
            variable.assign(value)
        self.rows.append(self._row(epoch, gradients, accuracies, real, fake))

    def _row(
        self, epoch: int, gradients: Any, accuracies: Any, real: Any, fake: Any
    ) -> dict[str, Any]:
        task = gradients["task"]

        def cosine(other: Any) -> float:
            norms = np.linalg.norm(task) * np.linalg.norm(other)
            return float(task @ other / norms) if norms else 0.0

        distances = [
            float(tf.norm(r - f) / tf.norm(r)) for r, f in zip(real, fake, strict=True)
        ]
        correlations = [
            float(np.corrcoef(np.ravel(r), np.ravel(f))[0, 1])
            for r, f in zip(real, fake, strict=True)
        ]
        taps = [tap.student for tap in self.model.taps]
        return {
            "epoch": epoch,
            "norms": {k: float(np.linalg.norm(g)) for k, g in gradients.items()},
            "cosines": {k: cosine(g) for k, g in gradients.items()},
            "accuracies": dict(zip(taps, accuracies, strict=True)),
            "distances": dict(zip(taps, distances, strict=True)),
            "correlations": dict(zip(taps, correlations, strict=True)),
        }


def markdown(result: dict[str, Any]) -> str:
    first = result["rows"][0]
    losses_table = [
        ("epoch", *(f"{name}: norm (cosine)" for name in first["norms"])),
        ("---:", *["---:"] * len(first["norms"])),
        *(
            (
                str(row["epoch"]),
                *(
                    f"{row['norms'][name]:.2e} ({row['cosines'][name]:+.2f})"
                    for name in row["norms"]
                ),
            )
            for row in result["rows"]
        ),
    ]
    last = result["rows"][-1]
    taps = [
        ("tap", "discriminator's accuracy", "distance", "correlation"),
        ("---", "---:", "---:", "---:"),
        *(
            (
                tap,
                f"{last['accuracies'][tap]:.2f}",
                f"{last['distances'][tap]:.2f}",
                f"{last['correlations'][tap]:.2f}",
            )
            for tap in last["accuracies"]
        ),
    ]
    return (
        "# How strongly each loss pulls\n\n"
        f"Written by benchmarks/accuracy/gradients.py: {result['contender']}, size "
        f"{result['size']}, seed 0, learning rate {result['learning_rate']:g}, on "
        f"{described(result['machine'])}.\n\n"
        "Norm of the gradient of each weighted loss to all latent kernels, on "
        f"{SAMPLES} training images at the end of an epoch (0: the start), and its "
        "cosine to the task's. The kernel loss and distillation are measured, whether "
        "or not they are trained with.\n\n"
        f"{markdown_table(losses_table)}\n"
        "At the last epoch, by tap: the share that the discriminator judges rightly, "
        "the distance of the student's feature map from the teacher's of the same "
        "images (to the length of the teacher's), and the correlation of the two.\n\n"
        f"{markdown_table(taps)}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--contender", choices=names(), default="R+G")
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--learning-rate", type=float, default=3e-2)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--output", type=Path, default=RESULTS / "gradients.json")
    arguments = parser.parse_args()
    size, chosen = SIZES[arguments.size], contender(arguments.contender)
    if chosen.start:
        parser.error(
            f"{arguments.contender!r} starts from another one than its teacher."
        )
    rows = read_lines(Places().lines)
    digest = needed_teacher(rows, arguments.size, chosen.teacher)
    keras.utils.set_random_seed(0)
    teacher = keras.models.load_model(Places().teacher(digest), compile=False)
    data = images(size.data, size.images)
    train = batches(data.train, size, 0)
    model = model_of(chosen, size, teacher, student_of(chosen, size, teacher))
    steps = arguments.epochs * len(train)
    compile_for(model, chosen, arguments.learning_rate, steps, len(train))
    watch = Watch(data.train[0][:SAMPLES], data.train[1][:SAMPLES])
    model.fit(train, epochs=arguments.epochs, verbose=2, callbacks=[watch])
    result = {
        "contender": arguments.contender,
        "size": arguments.size,
        "learning_rate": arguments.learning_rate,
        "machine": machine(),
        "rows": watch.rows,
    }
    print(markdown(result))
    write_results(arguments.output, result, markdown(result))


if __name__ == "__main__":
    main()
