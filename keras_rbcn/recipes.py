"""Recipes: settings of a training that belong together, and what they rest on."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from keras_rbcn._backend import keras
from keras_rbcn._checks import check_positive_integer
from keras_rbcn.training import RBCNModel
from keras_rbcn.training.settings import TrainingSettings

__all__ = ["RECIPES", "Recipe", "default", "paper"]


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a student is trained: feature taps, weights of the losses, learning rates.

    Attributes:
        settings: Arguments of `RBCNModel.compile` that belong to the method.
        taps: Argument `taps` of `RBCNModel`.
        learning_rate: Of Adam at the start; it falls to 0 by half a cosine.
        strategy_b_learning_rate: The same of strategy B's Adam, which makes a step
            after each epoch; 0.0 to do without.
        scale_learning_rate: Of an Adam for the scales of `RectifiedConv2D` alone, which
            falls likewise; 0.0 to train them as everything else. Behind a scale mostly
            stands a batch normalisation, which leaves it a gradient of next to nothing;
            Adam's steps are as long as its rate all the same, and a fast one takes
            scales through 0 and back.
        kernel_quantizer: Argument of `binarize` or `RectifiedConv2D` for the student,
            which `model` takes as it is.
        pretraining_learning_rate: Of Adam at the start, for the student's
            `full_precision_counterpart`, if the student starts from one; it falls to 0
            by half a cosine.
        pretrained_kernel_magnitude: Argument of `copy_weights` for such a start.

    Example:
        >>> recipe = dataclasses.replace(paper(), learning_rate=1e-3)
        >>> recipe.learning_rate, recipe.settings.kernel_loss_gradient
        (0.001, 'straight_through')
    """

    settings: TrainingSettings
    taps: str | Sequence[Any]
    learning_rate: float
    strategy_b_learning_rate: float = 0.0
    scale_learning_rate: float = 0.0
    kernel_quantizer: str = "ste_sign"
    pretraining_learning_rate: float = 1e-2
    pretrained_kernel_magnitude: float = 0.5

    def without_teacher(self) -> Recipe:
        """The same for a student that has no teacher: all off that needs one."""
        settings = self.settings.without_teacher()
        return dataclasses.replace(self, settings=settings, taps=[])

    def without_taps(self) -> Recipe:
        """The same with all off that compares feature maps."""
        return dataclasses.replace(self, settings=self.settings.without_taps(), taps=[])

    def model(self, student: Any, teacher: Any = None, **kwargs: Any) -> RBCNModel:
        """An `RBCNModel` with the recipe's taps.

        Args:
            student: Built 1-bit Keras model.
            teacher: Trained full-precision Keras model; None for a recipe
                `without_teacher`.
            **kwargs: What else `RBCNModel` takes.

        Raises:
            ValueError: If student and teacher do not fit, as in `RBCNModel`.
            TypeError: For an unknown argument.
        """
        return RBCNModel(student, teacher, self.taps, **kwargs)

    def compile_arguments(self, epochs: int, steps_per_epoch: int) -> dict[str, Any]:
        """Arguments for `RBCNModel.compile`, for a training of a given length.

        With new optimizers at each call.

        Args:
            epochs: Of the training.
            steps_per_epoch: Batches in an epoch.

        Raises:
            ValueError: If `epochs` or `steps_per_epoch` is no positive integer.

        Example:
            >>> arguments = default().compile_arguments(epochs=10, steps_per_epoch=100)
            >>> rate = arguments["optimizer"].get_config()["learning_rate"]
            >>> rate["class_name"], rate["config"]["decay_steps"]
            ('CosineDecay', 1000)
        """
        steps = _steps(epochs, steps_per_epoch)
        arguments = self.settings.to_arguments()
        arguments["optimizer"] = _adam(self.learning_rate, steps)
        if self.scale_learning_rate:
            arguments["scale_optimizer"] = _adam(self.scale_learning_rate, steps)
        if self.strategy_b_learning_rate:
            arguments["strategy_b_optimizer"] = _adam(
                self.strategy_b_learning_rate, epochs
            )
            arguments["strategy_b_every"] = int(steps_per_epoch)
        return arguments

    def pretraining_optimizer(self, epochs: int, steps_per_epoch: int) -> Any:
        """A new optimizer for the student's `full_precision_counterpart`.

        Args:
            epochs: Of its training.
            steps_per_epoch: Batches in an epoch.

        Raises:
            ValueError: As in `compile_arguments`.
        """
        steps = _steps(epochs, steps_per_epoch)
        return _adam(self.pretraining_learning_rate, steps)


def _steps(epochs: int, steps_per_epoch: int) -> int:
    check_positive_integer("epochs", epochs)
    check_positive_integer("steps_per_epoch", steps_per_epoch)
    return int(epochs) * int(steps_per_epoch)


def _adam(rate: float, steps: int) -> Any:
    schedule = keras.optimizers.schedules.CosineDecay(rate, steps)
    return keras.optimizers.Adam(schedule)


def default() -> Recipe:
    """What this project's study (docs/evidence.md) speaks for.

    Rectification and logits distillation, a learning rate of 3e-2 (1e-2 is as good for
    the larger networks), and kernels whose gradient reaches up to the clip.
    Distillation gained in every comparison after 10 epochs, if not clearly in each. The
    learned scales cost no byte, and gain nothing where a batch normalisation follows;
    beside distillation they lost 0.3 points in the small networks, and nothing clear in
    the larger ones. Discriminators never clearly gained, and the kernel loss cost
    accuracy with a weight of 1e-4 at the rates that are best, and gained nothing with
    1e-5; both are off. Epochs gain more than distillation (one seed each). A start from
    the student's `full_precision_counterpart` gains about as much as distillation in
    the small networks, and more in the larger ones, with the rate and the magnitude
    that are here: train it in the place of another teacher. Where there is a teacher
    already, the student gains about as much by as many epochs of its own.

    Small residual networks on Fashion-MNIST, 10 epochs in batches of 128, mirrored and
    shifted; validation accuracy, mean and standard deviation of three seeds, from
    benchmarks/results/accuracy/runs.jsonl:

        full-precision teacher (20 epochs, one seed)       93.78 %
        Bi-Real Net, learning rate 1e-2                    89.76 +- 0.04 %
        Bi-Real Net, distillation                          90.32 +- 0.14 %
        R (rectification, no kernel loss)                  89.47 +- 0.35 %
        R, distillation: this recipe                       90.26 +- 0.14 %
        R+G (discriminators), adversarial weight 0.01      89.26 +- 0.26 %
        R+G, distillation                                  89.97 +- 0.16 %
        R, approx_sign kernels, learning rate 1e-2         89.80 +- 0.31 %
        this recipe, 30 epochs (one seed)                  91.36 %
        this recipe, from its counterpart (20 epochs)      91.31 +- 0.15 %
        Bi-Real Net, distillation, from its counterpart    91.20 +- 0.15 %

    Networks of twice as many kernels:

        full-precision teacher (20 epochs, one seed)       94.05 %
        Bi-Real Net, learning rate 1e-2                    91.67 +- 0.08 %
        Bi-Real Net, distillation                          91.97 +- 0.22 %
        R, distillation: this recipe                       91.81 +- 0.11 %
        R+G, distillation                                  91.88 +- 0.10 %
        this recipe, 30 epochs (one seed)                  93.29 %
        this recipe, from its counterpart (20 epochs)      92.98 +- 0.09 %
        the same, learning rate 1e-2                       93.12 +- 0.08 %
        Bi-Real Net, from its counterpart, 1e-2            93.04 +- 0.15 %

    Small networks, validation accuracy of the first seed alone:

        Bi-Real Net, learning rate 1e-3                    86.35 %
        R, approx_sign kernels, learning rate 1e-2         89.70 %
        the same, kernel loss with its full gradient       88.98 %
        the same, kernel loss as in the paper              86.64 %
        R+G, approx_sign kernels, 1e-2, weight 0.1         86.35 %

    The larger networks on the test images, all students with a learning rate of 1e-2,
    from benchmarks/results/accuracy/tested.jsonl:

        full-precision teacher                             93.33 %
        Bi-Real Net                                        90.91 +- 0.19 %
        this recipe                                        91.29 +- 0.24 %
        this recipe, from its counterpart                  92.27 +- 0.06 %
        Bi-Real Net, distillation, from its counterpart    92.18 +- 0.14 %

    Example:
        >>> recipe = default()
        >>> def train(student, teacher, images, labels, loss, epochs=10):
        ...     model = recipe.model(student, teacher)
        ...     steps = -(-len(images) // 64)
        ...     model.compile(loss=loss, **recipe.compile_arguments(epochs, steps))
        ...     return model.fit(images, labels, batch_size=64, epochs=epochs)
        >>> def pretrain(student, images, labels, loss, epochs=20):
        ...     teacher = full_precision_counterpart(student)
        ...     steps = -(-len(images) // 64)
        ...     teacher.compile(recipe.pretraining_optimizer(epochs, steps), loss)
        ...     teacher.fit(images, labels, batch_size=64, epochs=epochs)
        ...     magnitude = recipe.pretrained_kernel_magnitude
        ...     copy_weights(teacher, student, magnitude)
        ...     return teacher
    """
    return Recipe(TrainingSettings(), "convolution", learning_rate=3e-2)


def paper() -> Recipe:
    """RBCN as its paper has it, as far as the paper tells.

    The kernel loss with the gradient of equation 3.71, the adversarial loss in least
    squares, as in the update rule (3.72), with the weight 1 that it has there,
    discriminators that learn from every batch, strategy B after each epoch, and kernels
    whose gradient is that of equation 3.68 (`"approx_sign"`). The paper does not give
    the weight of the kernel loss, nor learning rates: those here are this project's. In
    the study of `default` it has 77.70 +- 0.48 % with three seeds (validation images,
    as there), far less than all others. The adversarial loss at this weight is enough
    for that: at 3e-2 R+G has 74.13 % with it, and 89.50 % with a hundredth (one seed).

    Example:
        >>> paper().settings.adversarial_weight
        1.0

    Reference:
        RBCN, arXiv 1908.07748; "Binary Neural Networks: Algorithms, Architectures,
        and Applications", section 3.6, Algorithm 13.
    """
    settings = TrainingSettings(
        kernel_weight=1e-4,
        kernel_loss_gradient="straight_through",
        adversarial_weight=1.0,
        distillation=0.0,
        adversarial_loss="least_squares",
        discriminator_accuracy_limit=1.0,
    )
    return Recipe(
        settings,
        "convolution",
        learning_rate=3e-3,
        strategy_b_learning_rate=3e-4,
        kernel_quantizer="approx_sign",
    )


RECIPES = {"default": default, "paper": paper}
"""The recipes by their names."""
