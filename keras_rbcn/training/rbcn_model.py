"""RBCNModel: trains a 1-bit student with a teacher and feature discriminators."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from keras_rbcn._backend import keras, tf
from keras_rbcn.discriminators import build_discriminator, build_discriminators
from keras_rbcn.training.checks import (
    check_discriminators,
    check_optimizers,
    check_output_names,
    check_student,
    check_tappable,
    check_teacher,
    warn_of_nonnegative_inputs,
    with_loss_scaling,
)
from keras_rbcn.training.finite import LossGuard
from keras_rbcn.training.gated_taps import with_pooled_features
from keras_rbcn.training.judging import Judge
from keras_rbcn.training.legacy_optimizers import (
    load_states,
    other_values,
    save_states,
)
from keras_rbcn.training.objective import LOGGED
from keras_rbcn.training.output_scores import check_not_rounded, outputs_from_logits
from keras_rbcn.training.record import FitRecord, recorded_fit
from keras_rbcn.training.replicas import (
    check_called_in_scope,
    check_optimizer_scopes,
    check_scopes,
    clear_error,
)
from keras_rbcn.training.settings import (
    TrainingSettings,
    Weight,
)
from keras_rbcn.training.step import TrainingStep
from keras_rbcn.training.taps import (
    Tap,
    check_sequence,
    missing_activation,
    rectified_layers,
    resolve_taps,
    tap_shape,
    with_features,
)
from keras_rbcn.training.teacher_cache import cached_teacher
from keras_rbcn.training.tracing import traced_once
from keras_rbcn.training.watch import with_watch

# The means that make up the logs. "total_loss" is shown as "loss", a name that Keras'
# own metric of the task loss has.
_MEANS = ("total_loss", "task_loss", *LOGGED)


class _Hidden:
    """Holds what Keras must not track as parts of the model that uses it.

    Were the teacher a tracked part, its weights would be trained and its
    regularisation losses added; were the tapped views, every layer would count twice;
    were the means of the logs, they would count as weights.
    """

    def __init__(self, teacher: Any) -> None:
        self.teacher = teacher
        self.means = {name: keras.metrics.Mean(name=name) for name in _MEANS}
        # Of the discriminators, in one metric: each would add operations of its own.
        self.accuracies: Any = None
        # As they were before the metrics were last reset.
        self.last_accuracies: dict[str, float] = {}
        self.guard = LossGuard(_MEANS)
        self.taps: list[Tap] = []
        # Of each tap: what the student's feature map lacks to be like the teacher's.
        self.activations: list[Any] = []
        self.judges: list[Judge] = []
        self.records: list[FitRecord] = []
        self.student_with_features: Any = None
        self.student_with_pooled_features: Any = None
        self.teacher_with_features: Any = None


@keras.saving.register_keras_serializable("keras_rbcn")
class RBCNModel(keras.Model):
    """Trains a 1-bit student with rectification, a teacher and feature discriminators.

    `fit` minimises, for the student's kernels W, scales C and other parameters,

        task loss + distillation * distillation loss + kernel_weight * kernel loss
        + adversarial_weight * adversarial loss + attention_weight * attention loss

    while one discriminator per tap, if in use, learns to tell the teacher's feature map
    from the student's. What `compile` uses by default is what this project's study
    speaks for (`keras_rbcn.recipes.default`): distillation, on top of the learned
    scales. The teacher runs once a step in inference mode and is never changed; the
    student runs once a step in training mode. `evaluate`, `predict` and calls of the
    model are the student's alone.

    The logs of `fit` hold `loss` (all that the student minimises), `task_loss` (the
    one to compare with `val_loss`), and, where they have a weight, `distillation_loss`,
    `kernel_loss`, `adversarial_loss` with `discriminator_loss` and
    `discriminator_accuracy`, and so on, each unweighted. A discriminator's accuracy
    near 1.0, or one that stays at 0.5, means that it teaches nothing.

    Args:
        student: Built Keras 2 model, usually with `RectifiedConv2D` layers.
        teacher: Trained full-precision Keras 2 model with the same inputs, or None to
            train with rectification alone.
        taps: Which feature maps are compared: `"convolution"` pairs the batch
            normalisation behind every rectified convolution of the student with the
            teacher's layer of the same name, or with the output of its convolution of
            the same name; `"stage"` keeps the last of those with one shape; or a
            sequence of layer names, or of pairs `(student's layer, teacher's layer)`.
            `[]` taps nothing.
        discriminators: What builds the discriminator of a tap: a function from a
            feature map's shape (without the batch) to a Keras model that returns raw
            scores, or one ready model for each tap.
        check_teacher: Whether to refuse a teacher that looks untrained, or has another
            number of classes.
        **kwargs: `name`.

    Raises:
        TypeError: If a model is not of Keras 2.
        ValueError: If student and teacher do not fit: unbuilt, untrained, sharing
            weights, with other inputs, with taps that are unknown or differ in shape,
            or built in the scope of another strategy. Both sides are named.

    Example:
        >>> def network(convolution):
        ...     inputs = keras.Input((8, 8, 1))
        ...     x = keras.layers.Conv2D(4, 3)(inputs)
        ...     x = convolution(4, 3, padding="same", name="conv")(x)
        ...     x = keras.layers.BatchNormalization(name="norm")(x)
        ...     x = keras.layers.GlobalAveragePooling2D()(x)
        ...     return keras.Model(inputs, keras.layers.Dense(3)(x))
        >>> x, y = np.ones((8, 8, 8, 1), "float32"), np.zeros(8)
        >>> loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        >>> teacher = network(keras.layers.Conv2D)
        >>> teacher.compile("adam", loss)
        >>> history = teacher.fit(x, y, verbose=0)
        >>> model = RBCNModel(network(RectifiedConv2D), teacher)
        >>> model.taps
        [Tap(student='norm', teacher='norm')]
        >>> model.compile("adam", loss)
        >>> sorted(model.fit(x, y, verbose=0).history)[:2]
        ['distillation_loss', 'loss']

    Reference:
        RBCN, arXiv 1908.07748; "Binary Neural Networks: Algorithms, Architectures,
        and Applications", section 3.6.
    """

    def __init__(
        self,
        student: Any,
        teacher: Any = None,
        taps: str | Sequence[Any] = "convolution",
        discriminators: Callable[..., Any] | Sequence[Any] = build_discriminator,
        check_teacher: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_student(student)
        check_scopes(student=student, teacher=teacher)
        check_output_names(student, LOGGED)
        warn_of_nonnegative_inputs(student)
        self.student = student
        self._hidden = _Hidden(teacher)
        self._hidden.taps = self._resolve_taps(taps, check_teacher)
        self.discriminators = self._make_discriminators(discriminators)
        for part in self.discriminators:
            check_scopes(discriminator=part)
        if self.taps:
            self._hidden.accuracies = keras.metrics.MeanTensor(
                "discriminator_accuracies", shape=(len(self.taps),)
            )
        # Losses and metrics given to `compile` by output name are the student's.
        self.output_names = getattr(student, "output_names", None)
        self.settings = TrainingSettings()
        # Logs are means over all replicas; Keras would add them up over workers.
        self.distribute_reduction_method = "first"
        self._distillation_from_logits: list[bool | None] = []
        self.built = True

    @property
    def teacher(self) -> Any:
        """The full-precision teacher, or None; the very object that was passed."""
        return self._hidden.teacher

    @property
    def taps(self) -> list[Tap]:
        """The pairs of layers whose outputs are compared."""
        return self._hidden.taps

    @property
    def losses(self) -> list[Any]:
        """The student's regularisation losses."""
        return self.student.losses

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """The student's outputs."""
        return self.student(inputs, training=training)

    # --- compile -----------------------------------------------------------------

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        metrics: Any = None,
        *,
        kernel_weight: Weight = TrainingSettings.kernel_weight,
        adversarial_weight: Weight = TrainingSettings.adversarial_weight,
        feature_matching_weight: Weight = TrainingSettings.feature_matching_weight,
        distillation: Weight | None = None,
        distillation_from_logits: bool | None = None,
        temperature: float = TrainingSettings.temperature,
        attention_weight: Weight = TrainingSettings.attention_weight,
        label_smoothing: float = TrainingSettings.label_smoothing,
        gradient_penalty: float = TrainingSettings.gradient_penalty,
        adversarial_loss: str = TrainingSettings.adversarial_loss,
        kernel_loss_gradient: str = TrainingSettings.kernel_loss_gradient,
        discriminator_accuracy_limit: float = (
            TrainingSettings.discriminator_accuracy_limit
        ),
        scale_optimizer: Any = None,
        discriminator_optimizer: Any = None,
        strategy_b_optimizer: Any = None,
        strategy_b_every: int = TrainingSettings.strategy_b_every,
        **kwargs: Any,
    ) -> None:
        """Configures training: Keras' `compile`, and the weights of the method.

        Each weight is a number, or a schedule of `keras.optimizers.schedules`, which
        gives its value at each step: to warm it up, for example.

        Args:
            optimizer: Of the latent kernels and of every other parameter that has no
                optimizer of its own. Callbacks that set a learning rate set this one.
            loss: Task loss, as in Keras.
            metrics: Of the student's outputs, as in Keras.
            kernel_weight: Weight of the kernel loss, summed over all kernels. 1e-4 is a
                beginning. Off by default: it gained nothing in this project's study,
                and cost accuracy at the best learning rate, by either gradient.
            adversarial_weight: Weight of the adversarial loss, the mean over taps. 0.01
                is a beginning. Off by default: in this project's study it never gained
                more than seeds differ by, and cost points with ten times this weight.
            feature_matching_weight: Weight of feature matching in the discriminators'
                hidden layers (not in the paper), the mean over taps.
            distillation: Weight of the logits distillation loss (not in the paper),
                for models that end in one score per class, as logits (or their
                log-softmax) or behind a softmax or sigmoid; both must end alike. None
                is 0.9 with a teacher, and 0.0 without. Pass 0.0 to do without.
            distillation_from_logits: Whether the outputs are logits; None to see it
                from the models' last layers.
            temperature: Of the logits distillation.
            attention_weight: Weight of attention matching at the taps (not in the
                paper), the mean over taps.
            label_smoothing: Of the discriminators' losses (not in the paper); see
                `keras_rbcn.losses.discriminator_loss`.
            gradient_penalty: Weight of the R1 penalty, half the squared gradient of a
                discriminator's scores to the teacher's feature maps (arXiv 1801.04406;
                not in the paper). Discriminators must be twice differentiable.
            adversarial_loss: `"least_squares"`, `"log"` or `"relativistic"` (the last
                not in the paper); see `keras_rbcn.losses.student_adversarial_loss`.
            kernel_loss_gradient: `"straight_through"` or `"full"`; see
                `keras_rbcn.losses.kernel_loss`.
            discriminator_accuracy_limit: A discriminator that tells more than this
                share of a batch apart is not trained on that batch, so that it does
                not win once and for all (not in the paper). 1.0 trains it always.
            scale_optimizer: Of the scales C; `optimizer` if None. C is updated after
                W, from gradients of the same step.
            discriminator_optimizer: Of the discriminators; Adam with learning rate
                1e-4 and beta_1 0.5 if None.
            strategy_b_optimizer: If given, strategy B: a separate step on the task
                loss for the parameters that are neither W nor C, with W and C fixed.
            strategy_b_every: The separate step follows every so many-th joint step;
                1 is after each step, the number of steps per epoch after each epoch.
            **kwargs: What else `keras.Model.compile` takes, such as `loss_weights`,
                `weighted_metrics`, `run_eagerly`, `steps_per_execution`.

        Raises:
            ValueError: For a negative weight, an unknown loss or rule, a weight that
                needs taps or a teacher where there are none, one optimizer in two
                places, or an optimizer with loss scaling.
        """
        check_called_in_scope(self, "compile")
        if distillation is None:
            taught = self.teacher is not None
            distillation = TrainingSettings.distillation if taught else 0.0
        settings = TrainingSettings(
            kernel_weight=kernel_weight,
            adversarial_weight=adversarial_weight,
            feature_matching_weight=feature_matching_weight,
            distillation=distillation,
            temperature=temperature,
            attention_weight=attention_weight,
            label_smoothing=label_smoothing,
            gradient_penalty=gradient_penalty,
            adversarial_loss=adversarial_loss,
            kernel_loss_gradient=kernel_loss_gradient,
            discriminator_accuracy_limit=discriminator_accuracy_limit,
            distillation_from_logits=distillation_from_logits,
            strategy_b_every=strategy_b_every,
        )
        settings.check(bool(self.taps), self.teacher is not None)
        from_logits: list[bool | None] = []
        if settings.uses("distillation"):
            check_not_rounded(self.student, self.teacher)
            from_logits = outputs_from_logits(
                self.student, self.teacher, distillation_from_logits
            )
        hidden = settings.uses("feature_matching_weight")
        judges = [Judge(one, hidden) for one in self.discriminators]
        get = keras.optimizers.get
        optimizers = {
            "scale_optimizer": scale_optimizer and get(scale_optimizer),
            "discriminator_optimizer": get(
                discriminator_optimizer
                or keras.optimizers.legacy.Adam(1e-4, beta_1=0.5)
            ),
            "strategy_b_optimizer": strategy_b_optimizer and get(strategy_b_optimizer),
        }
        optimizer = with_loss_scaling(get(optimizer), self.student)
        check_optimizers(optimizer=optimizer, **optimizers)
        check_optimizer_scopes(self, optimizer=optimizer, **optimizers)
        super().compile(optimizer=optimizer, loss=loss, metrics=metrics, **kwargs)
        # Only now: a call that was refused leaves the model as it was.
        self.settings = settings
        self._hidden.judges = judges
        self._hidden.student_with_pooled_features = self._with_pooled_features()
        self._distillation_from_logits = from_logits
        for name, value in optimizers.items():
            setattr(self, name, value)

    # --- parameter groups ---------------------------------------------------------

    @property
    def latent_kernels(self) -> list[Any]:
        """W: the trainable latent kernels of the rectified convolutions."""
        return self._among_trainable(
            layer.kernel for layer in rectified_layers(self.student)
        )

    @property
    def scales(self) -> list[Any]:
        """C: the trainable scales of the rectified convolutions."""
        return self._among_trainable(
            layer.scale for layer in rectified_layers(self.student)
        )

    @property
    def other_parameters(self) -> list[Any]:
        """The student's trainable variables that are neither W nor C."""
        known = {id(variable) for variable in self.latent_kernels + self.scales}
        return [v for v in self.student.trainable_variables if id(v) not in known]

    def _among_trainable(self, variables: Any) -> list[Any]:
        wanted = {id(variable) for variable in variables}
        return [v for v in self.student.trainable_variables if id(v) in wanted]

    def _optimized(self) -> list[tuple[Any, list[Any]]]:
        """Pairs of an optimizer and its variables for the student's joint step."""
        if self.scale_optimizer is None:
            return [(self.optimizer, self.student.trainable_variables)]
        return [
            (self.optimizer, self.latent_kernels + self.other_parameters),
            (self.scale_optimizer, self.scales),
        ]

    def _discriminator_variables(self) -> list[Any]:
        return [v for model in self.discriminators for v in model.trainable_variables]

    # --- fit ----------------------------------------------------------------------

    def fit(self, *args: Any, cache_teacher: Any = None, **kwargs: Any) -> Any:
        """Trains the student: Keras' `fit`, with the same arguments and one more.

        Args:
            *args: As in Keras.
            cache_teacher: A folder for the teacher's outputs, and its tapped feature
                maps where a loss compares them; they are then computed once, for all
                epochs and later calls with the same teacher, data and taps; None to run
                the teacher in each step. The data must be arrays with `shuffle=False`
                or a `tf.data.Dataset`, with the same batches in each epoch. Feature
                maps take much space: it is checked before anything is written. A cache
                of another teacher, other data or other taps, or a damaged one, is
                written anew, with a warning; if there is no space left, training goes
                on without, with a warning.
            **kwargs: As in Keras.

        Raises:
            FloatingPointError: If a loss of student or discriminators is not finite. It
                names the loss and the step; the model is as it was before that step.
                With `TerminateOnNaN` among the callbacks, training ends as Keras ends
                it, with the model in the same state.
            ValueError: If a batch is smaller than the number of replicas, the data
                end before `steps_per_epoch * epochs` batches (the model is trained as
                far as they go), the call is in the scope of another strategy than the
                model, or data, folder or space do not allow a cache.
            OSError: If the folder of the cache cannot be written.

        Warns of a discriminator that tells all feature maps apart for some epochs, or
        judges by a coin: it teaches nothing.
        """
        check_called_in_scope(self, "fit")
        bound = inspect.signature(keras.Model.fit).bind(self, *args, **kwargs)
        given = bound.arguments.pop("callbacks", None)
        bound.arguments["callbacks"], watch = with_watch(given, self)
        with contextlib.ExitStack() as stack:
            stack.enter_context(clear_error())
            stack.enter_context(
                recorded_fit(self, bound.arguments, self._hidden.records)
            )
            if cache_teacher is not None:
                stack.enter_context(
                    cached_teacher(self, bound.arguments, cache_teacher)
                )
            history = keras.Model.fit(*bound.args, **bound.kwargs)
        watch.check_end()
        return history

    def train_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """One step on one batch: Keras' `train_on_batch`, with the same arguments.

        Raises:
            FloatingPointError: As `fit` does.
        """
        logs = super().train_on_batch(*args, **kwargs)
        self._hidden.guard.check()
        return logs

    @property
    def training_record(self) -> tuple[FitRecord, ...]:
        """What each call of `fit` on this object did; saving does not keep it."""
        return tuple(self._hidden.records)

    @property
    def discriminator_accuracies(self) -> dict[str, float]:
        """The accuracy of each discriminator in the last epoch, by the student's tap.

        While an epoch runs, it is that of the epoch so far.
        """
        if not self._uses_discriminators:
            return {}
        accuracies = self._hidden.accuracies
        if not np.any(accuracies.count.numpy()):
            return dict(self._hidden.last_accuracies)
        return {
            tap.student: float(value)
            for tap, value in zip(self.taps, accuracies.result(), strict=True)
        }

    def reset_metrics(self) -> None:
        """Resets all metrics: Keras does so before each epoch, and in `evaluate`."""
        # `fit` evaluates before the callbacks see the end of an epoch.
        if not tf.inside_function():
            self._hidden.last_accuracies = self.discriminator_accuracies
        super().reset_metrics()

    # --- train_step ---------------------------------------------------------------

    def train_step(self, data: Any) -> dict[str, Any]:
        """One step on one batch: student, scales, discriminators, strategy B."""
        with traced_once():
            return TrainingStep(self, data).run()

    @property
    def _uses_discriminators(self) -> bool:
        return bool(self.discriminators) and self.settings.uses_discriminators

    @property
    def _uses_features(self) -> bool:
        return self._uses_discriminators or (
            bool(self.taps) and self.settings.uses("attention_weight")
        )

    @property
    def _pools_in_student(self) -> bool:
        # Attention is matched on the maps themselves.
        return self._uses_discriminators and not self.settings.uses("attention_weight")

    def _with_pooled_features(self) -> Any:
        """The student with feature maps as the discriminators go on with them."""

        def pooled(activation: Any, pooling: Any) -> Any:
            if activation is None or pooling is None:
                return pooling or activation
            return lambda features: pooling(activation(features))

        if not self._pools_in_student:
            return None
        functions = [
            pooled(activation, judge.pooling)
            for activation, judge in zip(
                self._hidden.activations, self._hidden.judges, strict=True
            )
        ]
        names = [tap.student for tap in self.taps]
        return with_pooled_features(self.student, names, functions)

    def _run_teacher(self, x: Any) -> tuple[Any, list[Any]]:
        if self._uses_features:
            return self._hidden.teacher_with_features(x, training=False)
        if self.settings.uses("distillation"):
            return self.teacher(x, training=False), []
        return None, []

    def _run_student(self, x: Any) -> tuple[Any, list[Any]]:
        if self._pools_in_student:
            return self._hidden.student_with_pooled_features(x, training=True)
        if self._uses_features:
            outputs, features = self._hidden.student_with_features(x, training=True)
            pairs = zip(features, self._hidden.activations, strict=True)
            return outputs, [act(x) if act else x for x, act in pairs]
        return self.student(x, training=True), []

    @property
    def metrics(self) -> list[Any]:
        """Those of Keras and the means of the logs; `fit` resets them each epoch."""
        own = [*self._hidden.means.values(), self._hidden.accuracies]
        return [*super().metrics, *(one for one in own if one is not None)]

    def get_metrics_result(self) -> dict[str, Any]:
        """The metrics that `compile` was given: what `evaluate` returns."""
        results: dict[str, Any] = {}
        for metric in super().metrics:
            result = metric.result()
            results.update(
                result if isinstance(result, dict) else {metric.name: result}
            )
        return results

    # --- construction and serialization -------------------------------------------

    def _resolve_taps(self, taps: Any, trained: bool) -> list[Tap]:
        teacher = self.teacher
        automatic = isinstance(taps, str)
        if not automatic:
            check_sequence(taps)
        if teacher is None:
            if not automatic and len(taps) > 0:
                raise ValueError(
                    f"Expected a teacher to tap, received: teacher=None, taps={taps!r}."
                )
            return []
        check_teacher(self.student, teacher, trained)
        if not automatic and len(taps) == 0:
            return []
        check_tappable(self.student, "student")
        check_tappable(teacher, "teacher")
        resolved = resolve_taps(self.student, teacher, taps)
        self._hidden.student_with_features = with_features(
            self.student, [tap.student for tap in resolved]
        )
        self._hidden.teacher_with_features = with_features(
            teacher, [tap.teacher for tap in resolved]
        )
        self._hidden.activations = [
            missing_activation(tap, self.student, teacher) for tap in resolved
        ]
        return resolved

    def _make_discriminators(self, discriminators: Any) -> list[Any]:
        shapes = [tap_shape(self.student, tap.student, "student") for tap in self.taps]
        if discriminators is build_discriminator:
            discriminators = [
                build_discriminator(shape, name=f"discriminator_{tap.student}")
                for tap, shape in zip(self.taps, shapes, strict=True)
            ]
        elif callable(discriminators) and not isinstance(discriminators, keras.Model):
            discriminators = build_discriminators(shapes, discriminators)
        discriminators = list(tf.nest.flatten(discriminators))
        check_discriminators(discriminators, shapes)
        return discriminators

    def save(
        self, filepath: Any, overwrite: bool = True, save_format: Any = None, **kw: Any
    ) -> None:
        """Saves student, teacher, discriminators and optimizers to a `.keras` file.

        Args:
            filepath: Path that ends in `.keras`.
            overwrite: Whether to replace a file that is there without asking.
            save_format: `"keras"` or None.
            **kw: What else `keras.Model.save` takes for this format.

        Raises:
            ValueError: For another format. A SavedModel or HDF5 file would not hold
                the teacher, and would come back with another one.
        """
        if save_format not in (None, "keras") or not str(filepath).endswith(".keras"):
            raise ValueError(
                "Expected an RBCNModel to be saved to a path that ends in '.keras', "
                f"received: filepath={str(filepath)!r}, save_format={save_format!r}. "
                "To write the trained network alone in another format, save "
                "`model.student`."
            )
        super().save(filepath, overwrite=overwrite, save_format="keras", **kw)

    def get_config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "student": _serialized(self.student),
            "teacher": _serialized(self.teacher),
            "taps": [list(tap) for tap in self.taps],
            "discriminators": [_serialized(model) for model in self.discriminators],
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        config = dict(config)
        for key in ("student", "teacher", "discriminators"):
            config[key] = keras.saving.deserialize_keras_object(
                config[key], custom_objects=custom_objects
            )
        # The weights come after the models: the teacher looks untrained here.
        return cls(**config, check_teacher=False)

    def get_compile_config(self) -> dict[str, Any] | None:
        config = super().get_compile_config()
        if config is None:
            return None
        serialize = keras.saving.serialize_keras_object
        optimizers = ("scale", "discriminator", "strategy_b")
        names = [f"{name}_optimizer" for name in optimizers]
        return {
            **config,
            **self.settings.to_dict(),
            **{name: serialize(getattr(self, name)) for name in names},
        }

    def compile_from_config(self, config: dict[str, Any]) -> None:
        config = keras.saving.deserialize_keras_object(config)
        if not self.taps:  # Had no effect there, and was more than 0 by default once.
            config["adversarial_weight"] = 0.0
        self.compile(**config)
        # Slots must exist before their values are loaded.
        for optimizer, variables in self._optimizers_with_variables():
            if isinstance(optimizer, keras.optimizers.Optimizer):
                optimizer.build(variables)

    def save_own_variables(self, store: Any) -> None:
        super().save_own_variables(store)
        save_states(self._optimizers_with_variables(), store)

    def load_own_variables(self, store: Any) -> None:
        super().load_own_variables(other_values(store))
        load_states(self._optimizers_with_variables(), store)

    def _optimizers_with_variables(self) -> list[tuple[Any, list[Any]]]:
        if not self._is_compiled:
            return []
        groups = self._optimized()
        if self._uses_discriminators:
            groups.append(
                (self.discriminator_optimizer, self._discriminator_variables())
            )
        if self.strategy_b_optimizer is not None:
            groups.append((self.strategy_b_optimizer, self.other_parameters))
        return groups


def _serialized(model: Any) -> Any:
    """The configuration of a part; how it was compiled on its own does not matter."""
    if model is None:
        return None
    config = keras.saving.serialize_keras_object(model)
    config.pop("compile_config", None)
    return config
