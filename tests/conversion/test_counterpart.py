"""A student's counterpart: the same network, with clips for signs and real kernels."""

import larq
import numpy as np
import pytest

import keras_rbcn as rbcn
from keras_rbcn._backend import keras, tf
from keras_rbcn.layers import RectifiedConv2D, RSign

IMAGES = np.random.default_rng(0).normal(size=(4, 6, 6, 2)).astype("float32")


def student_of(*layers, shape=(6, 6, 2)):
    model = keras.Sequential([keras.Input(shape), *layers], name="student")
    random = np.random.default_rng(1)
    for weight in model.weights:
        weight.assign(random.uniform(0.1, 2, weight.shape))
    return model


def quantized(kind, *args, quantizers=("kernel",), **kwargs):
    """A larq layer with signs everywhere."""
    for name in quantizers:
        kwargs |= {f"{name}_quantizer": "ste_sign", f"{name}_constraint": "weight_clip"}
    return kind(*args, input_quantizer="approx_sign", **kwargs)


def clipped_convolution(images, kernel, strides, padding):
    """Padded with ones, as the student is, and computed without larq."""
    clipped = tf.clip_by_value(images, -1, 1)
    if padding == "same":
        size = -(-images.shape[1] // strides)
        total = max((size - 1) * strides + kernel.shape[0] - images.shape[1], 0)
        around = (total // 2, total - total // 2)
        clipped = tf.pad(clipped, [(0, 0), around, around, (0, 0)], constant_values=1.0)
    return tf.nn.conv2d(clipped, kernel, strides, "VALID").numpy()


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("scale", ["channel", "layer"])
def test_a_rectified_convolution_becomes_a_clip_and_a_convolution(
    padding, strides, scale
):
    student = student_of(
        RectifiedConv2D(3, 3, strides, padding, scale=scale, name="conv")
    )
    counterpart = rbcn.full_precision_counterpart(student)
    kernel = student.get_layer("conv").latent_kernel
    expected = clipped_convolution(IMAGES, kernel, strides, padding)
    found = counterpart.predict(IMAGES, verbose=0)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert np.unique(found).size > 3 * 3 * 3  # No sums of signs.


LAYERS = {
    "conv1d": lambda: [
        keras.layers.Reshape((36, 2)),
        quantized(larq.layers.QuantConv1D, 3, 3),
    ],
    "dense": lambda: [quantized(larq.layers.QuantDense, 3)],
    "depthwise": lambda: [
        quantized(larq.layers.QuantDepthwiseConv2D, 3, quantizers=["depthwise"])
    ],
    "separable": lambda: [
        quantized(
            larq.layers.QuantSeparableConv2D,
            3,
            3,
            quantizers=["depthwise", "pointwise"],
        )
    ],
    "quantizer": lambda: [larq.quantizers.SteSign(), keras.layers.Dense(3)],
    "ternary": lambda: [
        larq.layers.QuantConv2D(3, 3, input_quantizer="ste_tern"),
    ],
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_of_larq(name):
    student = student_of(*LAYERS[name]())
    counterpart = rbcn.full_precision_counterpart(student)
    assert counterpart.output_shape == student.output_shape
    for one, two in zip(student.get_weights(), counterpart.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    # It answers as a clip does: the same within [-1, 1], and no more beyond it.
    clipped = np.clip(IMAGES, -1, 1)
    answers = counterpart.predict(IMAGES, verbose=0)
    np.testing.assert_array_equal(answers, counterpart.predict(clipped, verbose=0))
    half = counterpart.predict(clipped / 2, verbose=0)
    assert np.abs(half - answers).max() > 1e-3
    assert rbcn.profile(counterpart).total.binary_parameters == 0


def literature(network):
    return rbcn.applications.CifarResNet18(
        input_shape=(8, 8, 3), classes=3, network=network, stages=(4, 4, 8, 8)
    )


@pytest.mark.parametrize(
    "network", ["bcnn", "xnornet", "birealnet", "rbcn", "reactnet"]
)
def test_networks_of_the_literature_start_from_theirs(network, tmp_path):
    student = literature(network)
    before = student.get_weights()
    counterpart = rbcn.full_precision_counterpart(student, name="start")
    assert counterpart.name == "start"
    names = [one.name for one in counterpart.layers]
    assert names == [one.name for one in student.layers]
    random = np.random.default_rng(0)
    for weight in counterpart.weights:
        weight.assign(random.uniform(-1, 1, weight.shape))
    for one, two in zip(student.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, two)
    counterpart.save(tmp_path / "counterpart.keras")
    counterpart = keras.models.load_model(tmp_path / "counterpart.keras", compile=False)
    copied = rbcn.copy_weights(counterpart, student, kernel_magnitude=0.5)
    assert copied == [one.name for one in student.layers if one.weights]
    for layer in student.layers:
        if isinstance(layer, larq.layers.QuantConv2D):
            kernel = layer.get_weights()[0]
            own = counterpart.get_layer(layer.name).get_weights()[0]
            np.testing.assert_array_equal(np.sign(kernel), np.sign(own))
            assert np.abs(kernel).mean() == pytest.approx(0.5, abs=0.02)


def test_a_counterpart_is_trained_and_a_teacher_for_every_loss():
    student = literature("rbcn")
    counterpart = rbcn.full_precision_counterpart(student)
    x = np.random.default_rng(0).normal(size=(12, 8, 8, 3)).astype("float32")
    y = np.arange(12) % 3
    loss = "sparse_categorical_crossentropy"
    counterpart.compile("adam", loss)
    before = counterpart.get_weights()
    counterpart.fit(x, y, verbose=0)
    # Gradients reach all that there is, through the clips.
    for one, two in zip(counterpart.get_weights(), before, strict=True):
        assert np.any(one != two)
    rbcn.copy_weights(counterpart, student, kernel_magnitude=0.5)
    model = rbcn.RBCNModel(student, counterpart, taps="stage")
    model.compile("adam", loss, adversarial_weight=0.1, attention_weight=0.1)
    history = model.fit(x, y, verbose=0).history
    for name in ("distillation", "adversarial", "attention"):
        assert np.isfinite(history[f"{name}_loss"]).all()


def test_thresholds_stay_in_front_of_the_clip():
    student = student_of(RSign(name="sign"), RectifiedConv2D(3, 1, name="conv"))
    counterpart = rbcn.full_precision_counterpart(student)
    threshold = student.get_layer("sign").get_weights()[0]
    kernel = student.get_layer("conv").latent_kernel
    expected = clipped_convolution(IMAGES - threshold, kernel, 1, "valid")
    found = counterpart.predict(IMAGES, verbose=0)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_what_is_frozen_stays_frozen_and_kept():
    first = keras.layers.Dense(2, name="first", trainable=False)
    adapted = keras.layers.Normalization(name="adapted")
    adapted.adapt(IMAGES)
    student = keras.Sequential(
        [keras.Input((6, 6, 2)), adapted, first, RectifiedConv2D(3, 3, name="conv")]
    )
    counterpart = rbcn.full_precision_counterpart(student)
    assert not counterpart.get_layer("first").trainable
    before = keras.Model(student.inputs, student.get_layer("first").output)
    same = keras.Model(counterpart.inputs, counterpart.get_layer("first").output)
    np.testing.assert_array_equal(
        before.predict(IMAGES, verbose=0), same.predict(IMAGES, verbose=0)
    )


def test_the_model_that_trains_a_student_will_do():
    student = student_of(RectifiedConv2D(3, 3, name="conv"))
    counterpart = rbcn.full_precision_counterpart(rbcn.RBCNModel(student))
    assert counterpart.name == "student_full_precision"


def test_models_within_are_flattened():
    inner = student_of(RectifiedConv2D(3, 3, name="conv"))
    student = keras.Sequential([keras.Input((6, 6, 2)), inner], name="outer")
    counterpart = rbcn.full_precision_counterpart(student)
    kernel = inner.get_layer("conv").latent_kernel
    np.testing.assert_array_equal(counterpart.get_layer("conv").kernel, kernel)


def test_a_network_in_full_precision_has_no_counterpart():
    with pytest.raises(ValueError, match="to have 1-bit layers, received none"):
        rbcn.full_precision_counterpart(student_of(keras.layers.Conv2D(3, 3)))


@keras.utils.register_keras_serializable("test_counterpart")
def own_sign(x):
    return tf.sign(x)


class OwnConvolution(RectifiedConv2D):
    """Computes who knows what."""


REFUSED = {
    "of two bits": lambda: larq.layers.QuantConv2D(
        3, 3, input_quantizer=larq.quantizers.DoReFa(2), name="conv"
    ),
    "from 0 to 1": lambda: larq.layers.QuantConv2D(
        3, 3, input_quantizer="ste_heaviside", name="conv"
    ),
    "a function": lambda: larq.layers.QuantConv2D(
        3, 3, input_quantizer=own_sign, name="conv"
    ),
    "a subclass": lambda: OwnConvolution(3, 3, name="conv"),
    "of two bits, by itself": lambda: larq.quantizers.DoReFa(
        2, mode="activations", name="conv"
    ),
    "in a wrapper": lambda: keras.layers.TimeDistributed(
        quantized(larq.layers.QuantDense, 3, name="conv")
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_quantizers_that_would_remain_are_refused(kind):
    student = student_of(REFUSED[kind]())
    with pytest.raises(ValueError, match=r"as in \['conv'\]\. Build"):
        rbcn.full_precision_counterpart(student)


def test_layers_in_int8_are_refused():
    student = student_of(
        keras.layers.Conv2D(3, 3, name="first"), RectifiedConv2D(3, 3, name="conv")
    )
    small = rbcn.quantize_real_layers(student, IMAGES)
    with pytest.raises(ValueError, match=r"\['first'\] are brought to int8"):
        rbcn.full_precision_counterpart(small)


def test_it_is_exported_and_what_stays_in_float32_beside_int8_is_named(tmp_path):
    student = student_of(
        keras.layers.Conv2D(3, 3, name="first"), RectifiedConv2D(3, 3, name="conv")
    )
    counterpart = rbcn.full_precision_counterpart(student)
    path = tmp_path / "counterpart.tflite"
    report = rbcn.export_tflite(counterpart, path, verify_data=IMAGES)
    assert not report.binary_convolutions
    report = rbcn.export_tflite(
        counterpart,
        path,
        verify_data=IMAGES,
        real_layers="int8",
        calibration_data=IMAGES,
    )
    assert "first; not conv" in str(report)
    with pytest.raises(ValueError, match="binary inputs"):
        rbcn.check_binary_inputs(counterpart, IMAGES)


def test_a_sign_keeps_its_policy():
    sign = larq.quantizers.SteSign(dtype="bfloat16", name="sign")
    student = student_of(sign, keras.layers.Dense(3, dtype="bfloat16"))
    counterpart = rbcn.full_precision_counterpart(student)
    assert counterpart.get_layer("sign").compute_dtype == "bfloat16"


def test_it_is_no_teacher_to_binarize_again():
    student = student_of(
        keras.layers.Conv2D(3, 3, name="first"), RectifiedConv2D(3, 3, name="conv")
    )
    with pytest.raises(ValueError, match="counterpart of a student"):
        rbcn.binarize(rbcn.full_precision_counterpart(student))


def test_what_is_no_model_is_refused():
    with pytest.raises(TypeError, match="student"):
        rbcn.full_precision_counterpart("student.keras")
