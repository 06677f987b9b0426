"""Learnable-threshold activations that make 1-bit blocks practical."""

from __future__ import annotations

from typing import Any

from keras_rbcn._backend import keras, tf


class _ChannelwiseLayer(keras.layers.Layer):
    """A layer with vectors of weights along the channels, the last axis."""

    def _channels(self, input_shape: Any) -> int:
        channels = tf.TensorShape(input_shape)[-1]
        if channels is None:
            raise ValueError(
                f"Expected the last axis of the inputs of layer '{self.name}' to be "
                f"known, received: input_shape={tuple(input_shape)}."
            )
        return int(channels)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return tf.TensorShape(input_shape)


@keras.saving.register_keras_serializable("keras_rbcn")
class RSign(_ChannelwiseLayer):
    """Learnable threshold in front of a 1-bit convolution: `inputs - threshold`.

    The `RectifiedConv2D` that follows takes the sign, so that the pair computes the
    RSign of ReActNet, `sign(inputs - threshold)` with one threshold per channel, and
    the gradient passes through one sign only. On the device it costs one subtraction.

    Args:
        threshold_initializer: Starting value of the thresholds.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, ..., channels)`, float; the channels must be known.

    Output shape:
        The same.

    Example:
        >>> layer = RSign(threshold_initializer="ones")
        >>> layer(tf.constant([[0.5, 2.0]])).numpy().tolist()
        [[-0.5, 1.0]]

    Reference:
        ReActNet, arXiv 2003.03488, equation 2.
    """

    def __init__(self, threshold_initializer: Any = "zeros", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.threshold_initializer = keras.initializers.get(threshold_initializer)

    def build(self, input_shape: Any) -> None:
        self.threshold = self.add_weight(
            name="threshold",
            shape=(self._channels(input_shape),),
            initializer=self.threshold_initializer,
        )
        super().build(input_shape)

    def call(self, inputs: Any) -> Any:
        return inputs - self.threshold

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "threshold_initializer": keras.initializers.serialize(
                self.threshold_initializer
            ),
        }


@keras.saving.register_keras_serializable("keras_rbcn")
class RPReLU(_ChannelwiseLayer):
    """PReLU with a learnable shift of its inputs and of its outputs.

    Computes `prelu(inputs - input_shift) + output_shift`, where
    `prelu(x) = x if x > 0 else slope * x`, with one value per channel of each.

    Args:
        slope_initializer: Starting value of the slopes; 0.25 as in PReLU's paper.
        input_shift_initializer: Starting value of the input's shifts.
        output_shift_initializer: Starting value of the output's shifts.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, ..., channels)`, float; the channels must be known.

    Output shape:
        The same.

    Example:
        >>> layer = RPReLU()
        >>> layer(tf.constant([[-1.0, 2.0]])).numpy().tolist()
        [[-0.25, 2.0]]

    Reference:
        ReActNet, arXiv 2003.03488, equation 4.
    """

    def __init__(
        self,
        slope_initializer: Any = None,
        input_shift_initializer: Any = "zeros",
        output_shift_initializer: Any = "zeros",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if slope_initializer is None:
            slope_initializer = keras.initializers.Constant(0.25)
        self.slope_initializer = keras.initializers.get(slope_initializer)
        self.input_shift_initializer = keras.initializers.get(input_shift_initializer)
        self.output_shift_initializer = keras.initializers.get(output_shift_initializer)

    def build(self, input_shape: Any) -> None:
        shape = (self._channels(input_shape),)
        self.input_shift = self.add_weight(
            name="input_shift", shape=shape, initializer=self.input_shift_initializer
        )
        self.slope = self.add_weight(
            name="slope", shape=shape, initializer=self.slope_initializer
        )
        self.output_shift = self.add_weight(
            name="output_shift", shape=shape, initializer=self.output_shift_initializer
        )
        super().build(input_shape)

    def call(self, inputs: Any) -> Any:
        shifted = inputs - self.input_shift
        # In the form, and with the slopes of the rank, that the converter recognises
        # as one PRELU operator.
        slope = tf.reshape(self.slope, [1] * (inputs.shape.rank - 2) + [-1])
        prelu = tf.nn.relu(shifted) + -slope * tf.nn.relu(-shifted)
        return prelu + self.output_shift

    def get_config(self) -> dict[str, Any]:
        serialize = keras.initializers.serialize
        return {
            **super().get_config(),
            "slope_initializer": serialize(self.slope_initializer),
            "input_shift_initializer": serialize(self.input_shift_initializer),
            "output_shift_initializer": serialize(self.output_shift_initializer),
        }
