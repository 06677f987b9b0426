"""The rectified convolution: binary inputs and kernels, and a learnable scale."""

from __future__ import annotations

import functools
from typing import Any

import larq
import numpy as np

from keras_rbcn._backend import keras, tf
from keras_rbcn.losses.kernel import kernel_loss, optimal_scale

# The larq quantizers that Larq Compute Engine turns into its binary operators. Others
# fall back to float (`DoReFa`, `SteHeaviside`) or are converted wrongly (`SteTern`),
# both without a message.
EXPORTABLE_QUANTIZERS = {
    "approx_sign": larq.quantizers.ApproxSign,
    "ste_sign": larq.quantizers.SteSign,
    "swish_sign": larq.quantizers.SwishSign,
}
SCALES = ("channel", "layer")


@keras.saving.register_keras_serializable("keras_rbcn")
class RectifiedConv2D(larq.layers.QuantConv2D):
    """1-bit 2D convolution with a learnable scale (rectified convolution).

    Computes `conv(sign(inputs), sign(kernel)) * scale`, where `kernel` is the latent
    full-precision kernel and `scale` (C in the paper) is learned. A scale that is
    constant inside a filter folds into the 1-bit kernel at export: on the device this
    layer costs not one byte and not one operation more than an unscaled one.

    Never feed it from a non-negative activation such as ReLU: the sign is then +1
    everywhere. Put an `RSign` between, or leave the activation out.

    Args:
        filters: Number of output channels.
        kernel_size: An integer or a pair, height and width of the kernel.
        strides: An integer or a pair.
        padding: `"valid"` or `"same"`.
        pad_values: What `"same"` pads the binary inputs with: 1.0 (a binary value,
            one fused operator on the device) or 0.0 (as Keras does; slower there).
        dilation_rate: An integer or a pair. Strides and dilation exclude each other.
        scale: `"channel"` for one scale per output channel, or `"layer"` for one.
        activation: Applied after scale and bias, as in Keras.
        use_bias: Whether a bias is added after the scale. Off by default, since a
            batch normalisation usually follows.
        input_quantizer: `"approx_sign"`, `"ste_sign"`, `"swish_sign"`, or an instance
            of the larq class: the three that the converter can carry. They compute
            the same sign, and differ in the gradient.
        kernel_quantizer: The same for the kernel. The gradient of `"ste_sign"` is 1
            as far as the clip. That of `"approx_sign"`, the paper's, is 0 at the clip,
            where a weight that has got there stays.
        kernel_constraint: Keeps latent kernels in [-1, 1] by default.
        **kwargs: Arguments of `keras.layers.Conv2D` that are left, such as
            `kernel_initializer` and `name`.

    Input shape:
        `(batch, height, width, channels)`, float. To be exportable, height and width
        must be known.

    Output shape:
        `(batch, new_height, new_width, filters)`.

    Raises:
        ValueError: For another quantizer, scale, padding or pad value, for
            `groups` other than 1 and for `data_format="channels_first"`.

    Example:
        >>> layer = RectifiedConv2D(16, 3, padding="same")
        >>> layer(tf.random.normal((1, 8, 8, 4))).shape
        TensorShape([1, 8, 8, 16])
        >>> layer.scale.shape
        TensorShape([16])

    Reference:
        RBCN, arXiv 1908.07748, section 3; the scale's starting value is that of
        XNOR-Net, arXiv 1603.05279.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, int],
        strides: int | tuple[int, int] = (1, 1),
        padding: str = "valid",
        pad_values: float = 1.0,
        dilation_rate: int | tuple[int, int] = (1, 1),
        scale: str = "channel",
        activation: Any = None,
        use_bias: bool = False,
        input_quantizer: Any = "approx_sign",
        kernel_quantizer: Any = "ste_sign",
        kernel_constraint: Any = "weight_clip",
        **kwargs: Any,
    ) -> None:
        _check_arguments(padding, pad_values, scale, kwargs)
        super().__init__(
            filters,
            kernel_size,
            strides=strides,
            padding=padding,
            pad_values=pad_values,
            dilation_rate=dilation_rate,
            activation=activation,
            use_bias=use_bias,
            input_quantizer=_exportable_quantizer(input_quantizer, "input_quantizer"),
            kernel_quantizer=_exportable_quantizer(
                kernel_quantizer, "kernel_quantizer"
            ),
            kernel_constraint=kernel_constraint,
            **kwargs,
        )
        # `self.scale` is the variable, as `self.kernel` is.
        self._scale_kind = scale

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        per_channel = self._scale_kind == "channel"
        self.scale = self.add_weight(
            name="scale",
            shape=(self.filters,) if per_channel else (),
            initializer=lambda shape, dtype=None: self._optimal_scale(dtype),
            trainable=True,
        )

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        # Bound now: larq sets the padding to "valid" only while this is called.
        convolve = functools.partial(
            tf.nn.convolution,
            strides=self.strides,
            padding=self.padding.upper(),
            dilations=self.dilation_rate,
        )

        @tf.custom_gradient
        def rectified(inputs: Any, kernel: Any, scale: Any) -> Any:
            # The scale goes on the output, not on the kernel: sums of +-1 are exact in
            # floating point, so that ties at zero are decided as the device does.
            outputs = convolve(inputs, kernel) * scale

            def gradient(upstream: Any) -> Any:
                # That of the same convolution with the scale on the kernel, which
                # keeps no unscaled feature map in memory. Graphs drop its forward.
                with tf.GradientTape() as tape:
                    scaled = kernel * scale
                    tape.watch([inputs, scaled])
                    outputs = convolve(inputs, scaled)
                to_inputs, to_scaled = tape.gradient(
                    outputs, [inputs, scaled], output_gradients=upstream
                )
                axis = [0, 1, 2] if self._scale_kind == "channel" else None
                to_scale = tf.reduce_sum(to_scaled * kernel, axis=axis)
                return to_inputs, to_scaled * scale, to_scale

            return outputs, gradient

        # Tensors, not variables: here larq's variable gives its quantized value. Of one
        # dtype: the quantizers may have another dtype policy than the layer.
        operands = (inputs, kernel, self.scale)
        return rectified(*(tf.cast(x, self.compute_dtype) for x in operands))

    def reset_scale(self) -> None:
        """Sets the scale to mean |W|, the minimiser of the kernel loss.

        Call it after kernels were loaded or copied into the layer.

        Raises:
            ValueError: If the layer has not been built.
        """
        if not self.built:
            raise ValueError(
                f"Expected layer '{self.name}' to be built before `reset_scale()`; "
                "call it on data or build it first."
            )
        self.scale.assign(self._optimal_scale(self.scale.dtype))

    def kernel_loss(self, gradient: str = "full") -> Any:
        """The layer's kernel loss, `1/2 * sum((W - C * sign(W))**2)`.

        Args:
            gradient: See `keras_rbcn.losses.kernel_loss`.

        Returns:
            Scalar tensor.
        """
        kernel = tf.convert_to_tensor(self.latent_kernel)
        # Under a mixed-precision policy the quantizer answers in half precision.
        binary_kernel = tf.cast(self.kernel_quantizer(kernel), kernel.dtype)
        return kernel_loss(kernel, binary_kernel, self.scale, gradient)

    @property
    def latent_kernel(self) -> Any:
        """The full-precision kernel that is trained."""
        return self.kernel.latent_variable

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scale": self._scale_kind}

    def _optimal_scale(self, dtype: Any) -> Any:
        # Under a mixed-precision policy the kernel may read in half precision, which
        # is too small for the sum.
        kernel = tf.cast(self.latent_kernel, self.variable_dtype)
        return tf.cast(optimal_scale(kernel, self._scale_kind == "channel"), dtype)


def _check_arguments(
    padding: str, pad_values: float, scale: str, kwargs: dict[str, Any]
) -> None:
    if scale not in SCALES:
        raise ValueError(
            f"Expected `scale` to be one of {SCALES}, received: scale={scale!r}."
        )
    if str(padding).lower() not in ("valid", "same"):
        raise ValueError(
            "Expected `padding` to be 'valid' or 'same', received: "
            f"padding={padding!r}."
        )
    if not np.isscalar(pad_values) or pad_values not in (0.0, 1.0):
        raise ValueError(
            "Expected `pad_values` to be 1.0 or 0.0, the two that the converter can "
            f"carry, received: pad_values={pad_values!r}."
        )
    if kwargs.get("groups", 1) != 1:
        raise ValueError(
            "Expected `groups` to be 1: Larq Compute Engine does not convert grouped "
            f"1-bit convolutions reliably. Received: groups={kwargs['groups']!r}. Use "
            "several layers on slices of the channels."
        )
    # An unset data format means what the Keras configuration says.
    data_format = kwargs.get("data_format") or keras.backend.image_data_format()
    if data_format != "channels_last":
        raise ValueError(
            "Expected `data_format` to be 'channels_last', the only one that "
            f".tflite files know, received: data_format={data_format!r}."
        )


def _exportable_quantizer(quantizer: Any, argument: str) -> Any:
    """Returns the larq quantizer, and refuses what the converter cannot carry."""
    try:
        found = larq.quantizers.get(quantizer) if quantizer is not None else None
    except ValueError:  # Unknown to larq.
        found = None
    # Not isinstance: a subclass may compute anything.
    if type(found) not in EXPORTABLE_QUANTIZERS.values():
        names = ", ".join(repr(name) for name in EXPORTABLE_QUANTIZERS)
        raise ValueError(
            f"Expected `{argument}` to be one of {names}, or an instance of the larq "
            "class of that name: the converter turns others into float operators, or "
            f"into wrong ones, without a message. Received: {argument}={quantizer!r}."
        )
    if isinstance(quantizer, str):
        # Keras would number it, and the same model would give another file the next
        # time it is built in a process.
        kind: Any = type(found)
        return kind(name=argument)
    return found
