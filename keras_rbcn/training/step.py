"""One training step of RBCNModel, on one batch and in one replica."""

from __future__ import annotations

from typing import Any, NamedTuple

from keras_rbcn._backend import keras, tf
from keras_rbcn.training.objective import Batch, Objective, method_objective
from keras_rbcn.training.replicas import (
    conditionally,
    mean_over_replicas,
    not_empty,
    replica_count,
    sum_over_replicas,
)
from keras_rbcn.training.sums import add_losses
from keras_rbcn.training.taps import rectified_layers
from keras_rbcn.training.teacher_cache import WithTeacher


class _Kept(NamedTuple):
    """Variables, and values to put back into them."""

    variables: list[Any]
    values: list[Any]

    def restore(self, values: list[Any] | None = None) -> None:
        for variable, value in zip(self.variables, values or self.values, strict=True):
            variable.assign(value)


def _keep(variables: list[Any]) -> _Kept:
    return _Kept(variables, [tf.identity(variable) for variable in variables])


class TrainingStep:
    """Losses, gradients and updates of one batch.

    With several replicas each has a part of the global batch. Losses are divided by
    their number, so that the sum of the gradients is that of the whole batch.

    Args:
        model: The RBCNModel.
        data: What Keras hands to `train_step`.
    """

    def __init__(self, model: Any, data: Any) -> None:
        self._model = model
        x, *rest = keras.utils.unpack_x_y_sample_weight(not_empty(data))
        self._cached = x[1:] if isinstance(x, WithTeacher) else None
        self._data = (x.x if isinstance(x, WithTeacher) else x, *rest)
        self._replicas = replica_count()
        self._guard = model._hidden.guard

    def run(self) -> dict[str, Any]:
        """Trains the student, the scales and the discriminators; returns the logs."""
        model, (x, y, sample_weight) = self._model, self._data
        judges = model.discriminators if model._uses_discriminators else []
        statistics = _keep(
            [v for m in (model.student, *judges) for v in _statistics(m)]
        )
        teacher_outputs, real = self._cached or model._run_teacher(x)
        with tf.GradientTape() as tape:
            outputs, fake = model._run_student(x)
            task_loss = model.compute_loss(x, y, outputs, sample_weight)
            if task_loss is None:  # Neither a loss nor a regularizer.
                task_loss = 0.0
            # Of its own, begun behind the student: a tape goes back through all that it
            # has seen, whatever variables are asked for.
            with tf.GradientTape() as judging:
                objective = method_objective(
                    model.settings,
                    model.optimizer.iterations,
                    rectified_layers(model.student),
                    Batch(
                        outputs, fake, teacher_outputs, real, model._pools_in_student
                    ),
                    model._hidden.judges,
                    model._distillation_from_logits,
                )
            total_loss = add_losses(
                [task_loss, *(loss / self._replicas for loss in objective.student)]
            )
            minimised = self._scaled(total_loss)
        model._validate_target_and_loss(y, total_loss)
        # Keras has divided the task loss by the number of replicas as well.
        values = {
            "total_loss": total_loss * self._replicas,
            "task_loss": task_loss * self._replicas,
            **objective.logs,
        }
        finite, accuracies = self._judge(values, objective)
        updates = [
            self._student_gradients(tape, minimised),
            self._discriminator_gradients(judging, objective),
            accuracies <= model.settings.discriminator_accuracy_limit,
        ]
        conditionally(
            finite,
            lambda student, discriminators, active, _: self._update(
                student, discriminators, active
            ),
            *updates,
            statistics.values,
            otherwise=lambda *args: statistics.restore(args[-1]),
        )
        if model.strategy_b_optimizer is not None:
            self._maybe_strategy_b(finite)
        return self._update_logs(outputs, values, accuracies)

    def _judge(self, values: dict[str, Any], objective: Objective) -> tuple[Any, Any]:
        """Whether to update at all, and the accuracies of the discriminators."""
        losses = self._guard.vector(values)
        both = tf.concat([losses, tf.cast(objective.accuracies, tf.float32)], 0)
        both = mean_over_replicas(both)
        losses, accuracies = both[: losses.shape[0]], both[losses.shape[0] :]
        finite = self._guard.is_finite(losses, self._model.optimizer.iterations + 1)
        return finite, accuracies

    # --- gradients -----------------------------------------------------------------

    @property
    def _scales_loss(self) -> bool:
        optimizer = self._model.optimizer
        return isinstance(optimizer, keras.mixed_precision.LossScaleOptimizer)

    def _scaled(self, loss: Any) -> Any:
        """The loss times the scale that keeps gradients of half precision from 0."""
        if not self._scales_loss:
            return loss
        return self._model.optimizer.get_scaled_loss(loss)

    def _unscaled(self, gradients: list[Any]) -> list[Any]:
        if not self._scales_loss:
            return gradients
        return list(self._model.optimizer.get_unscaled_gradients(gradients))

    def _student_gradients(self, tape: Any, loss: Any) -> list[list[Any]]:
        # One backward pass for all groups; each gets its share.
        groups = [variables for _, variables in self._model._optimized()]
        shares = tape.gradient(loss, groups)
        return [sum_over_replicas(self._unscaled(share)) for share in shares]

    def _discriminator_gradients(self, tape: Any, objective: Objective) -> list[Any]:
        variables = self._model._discriminator_variables()
        if objective.discriminators is None or not variables:
            return []
        share = tf.constant(1 / self._replicas, objective.discriminators.dtype)
        gradients = tape.gradient(
            objective.discriminators, variables, output_gradients=share
        )
        return sum_over_replicas(gradients)

    # --- updates -------------------------------------------------------------------

    def _update(self, student: Any, discriminators: Any, active: Any) -> None:
        groups = self._model._optimized()
        for (optimizer, variables), gradients in zip(groups, student, strict=True):
            self._apply(optimizer, gradients, variables)
        if discriminators:
            self._update_discriminators(discriminators, active)

    def _apply(self, optimizer: Any, gradients: Any, variables: list[Any]) -> None:
        """Applies gradients, already summed over replicas."""
        if not variables:  # All are frozen.
            return

        def apply(gradients: Any) -> None:
            pairs = zip(gradients, variables, strict=True)
            # The one argument that optimizers of both generations have.
            optimizer.apply_gradients(pairs, experimental_aggregate_gradients=False)

        if not self._scales_loss or optimizer is self._model.optimizer:
            apply(gradients)
            return
        # The main optimizer passes over a step whose scaled gradients overflowed.
        known = [gradient for gradient in gradients if gradient is not None]
        finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(g)) for g in known])
        conditionally(finite, apply, gradients)

    def _update_discriminators(self, gradients: Any, active: Any) -> None:
        """Trains the discriminators but for those that rest on this batch."""
        model = self._model
        variables = model._discriminator_variables()
        kept = _keep(variables)
        self._apply(model.discriminator_optimizer, gradients, variables)
        # Put back, since an optimizer's momentum moves a variable without a gradient.
        flags = tf.unstack(active, len(model.discriminators))
        moves = [
            flag
            for one, flag in zip(model.discriminators, flags, strict=True)
            for _ in one.trainable_variables
        ]
        kept.restore(
            [
                tf.where(flag, variable, value)
                for flag, variable, value in zip(
                    moves, variables, kept.values, strict=True
                )
            ]
        )

    def _maybe_strategy_b(self, finite: Any) -> None:
        every = self._model.settings.strategy_b_every
        steps = tf.math.floormod(self._model.optimizer.iterations, every)
        conditionally(finite & tf.equal(steps, 0), self._strategy_b, self._data)

    def _strategy_b(self, data: Any) -> None:
        """Updates what is neither W nor C on its own.

        The student runs a second time here. Statistics of batch normalisation and the
        metrics have already seen this batch, so they are put back.
        """
        model, (x, y, sample_weight) = self._model, data
        seen = [v for metric in model.metrics for v in metric.variables]
        kept = _keep(_statistics(model.student) + seen)
        variables = model.other_parameters
        with tf.GradientTape() as tape:
            outputs = model.student(x, training=True)
            loss = model.compute_loss(x, y, outputs, sample_weight)
            minimised = self._scaled(loss)
        gradients = self._unscaled(tape.gradient(minimised, variables))
        kept.restore()
        losses = self._guard.vector({"task_loss": loss * self._replicas})
        finite = self._guard.is_finite(
            mean_over_replicas(losses), model.optimizer.iterations
        )
        conditionally(
            finite,
            lambda summed: self._apply(model.strategy_b_optimizer, summed, variables),
            sum_over_replicas(gradients),
        )

    # --- logs ----------------------------------------------------------------------

    def _update_logs(
        self, outputs: Any, values: dict[str, Any], accuracies: Any
    ) -> dict[str, Any]:
        model, (x, y, sample_weight) = self._model, self._data
        logs = model.compute_metrics(x, y, outputs, sample_weight)
        # Weighted as Keras weighs its own loss, so that the terms add up to the total
        # whatever the size of the last batch.
        size = tf.shape(tf.nest.flatten(x)[0])[0]
        means = {}
        for name, value in values.items():
            model._hidden.means[name].update_state(value, sample_weight=size)
            means[name] = model._hidden.means[name].result()
        if model._uses_discriminators:
            model._hidden.accuracies.update_state(accuracies, sample_weight=size)
        logs.pop("loss", None)
        return {"loss": means.pop("total_loss"), **means, **logs}


def _statistics(model: Any) -> list[Any]:
    """What a run in training mode changes, such as moving means.

    A frozen kernel is a variable of another kind: it could be trained.
    """
    return [v for v in model.non_trainable_variables if not v.trainable]
