"""Structure and size of every network, and that teacher and student match."""

import json
from pathlib import Path

import larq
import numpy as np
import pytest
from small_networks import ARCHITECTURES, BASELINES, NETWORKS, RECTIFIED, built, small

import keras_rbcn as rbcn
from keras_rbcn._backend import keras, tf
from keras_rbcn.layers import RectifiedConv2D, RPReLU, RSign
from keras_rbcn.training.checks import warn_of_nonnegative_inputs

ROOT = Path(__file__).parents[2]

# Of the full-precision network, of the scales, and of RSign and RPReLU.
PARAMETERS = {
    "resnet18": (11_689_512, 3_840, 14_912),
    "cifar_resnet18": (746_436, 1_024, 4_000),
    "wide_resnet22": (278_324, 672, 2_640),
    "wide_resnet40": (569_972, 1_344, 5_328),
}
BINARY = {
    "resnet18": 10_985_472,
    "cifar_resnet18": 718_848,
    "wide_resnet22": 267_264,
    "wide_resnet40": 557_568,
}
# Size and kernels of the first convolution, kernels and blocks of the stages, classes.
SPECIFICATIONS = {
    "resnet18": (7, 64, (64, 128, 256, 512), 2, 1000),
    "cifar_resnet18": (3, 32, (32, 32, 64, 128), 2, 100),
    "wide_resnet22": (3, 16, (16, 32, 64), 3, 100),
    "wide_resnet40": (3, 16, (16, 32, 64), 6, 100),
}


def expected_parameters(architecture, network):
    """Binary and real parameters, from the layer specification alone."""
    size, stem, stages, blocks, classes = SPECIFICATIONS[architecture]
    binary, real = 0, size * size * 3 * stem + 2 * stem
    channels = stem
    for stage, kernels in enumerate(stages):
        for block in range(blocks):
            if stage and not block:  # A projection.
                real += channels * kernels + 2 * kernels
            for inputs in (channels, kernels):
                binary += 3 * 3 * inputs * kernels
                real += 2 * kernels  # Batch normalisation.
                if network in RECTIFIED:
                    real += kernels
                if network == "reactnet":
                    real += inputs + 3 * kernels
            channels = kernels
    real += channels * classes + classes
    return (0, binary + real) if network == "full_precision" else (binary, real)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_structure_and_parameters(architecture, network):
    model = built(architecture, network)
    stages, blocks = SPECIFICATIONS[architecture][2:4]
    convolutions = [la for la in model.layers if isinstance(la, keras.layers.Conv2D)]
    binary = [la for la in convolutions if isinstance(la, larq.layers.QuantConv2D)]
    names = [
        f"stage{stage}_block{block}_conv{index}"
        for stage in range(1, len(stages) + 1)
        for block in range(1, blocks + 1)
        for index in (1, 2)
    ]
    # Real: the first one and the projections, which are all there is beside these.
    real = {
        "stem_conv",
        *(f"stage{i}_block1_shortcut_conv" for i in range(2, len(stages) + 1)),
    }
    assert {layer.name for layer in convolutions} == real | set(names)
    inner = [layer.name for layer in binary]
    assert sorted(inner) == (sorted(names) if network in BASELINES else [])
    rectified = [la for la in model.layers if isinstance(la, RectifiedConv2D)]
    assert len(rectified) == (len(names) if network in RECTIFIED else 0)

    size = dict.fromkeys(("binary", "total"), 0)
    latent = {id(layer.kernel) for layer in binary}
    latent |= {id(getattr(layer.kernel, "latent_variable", None)) for layer in binary}
    for weight in model.trainable_weights:  # Which moving statistics are not.
        size["total"] += np.prod(weight.shape)
        size["binary"] += np.prod(weight.shape) * (id(weight) in latent)
    base, scales, activations = PARAMETERS[architecture]
    total = (
        base + scales * (network in RECTIFIED) + activations * (network == "reactnet")
    )
    assert size["total"] == total
    assert size["binary"] == (BINARY[architecture] if network in BASELINES else 0)
    counted = expected_parameters(architecture, network)
    assert (size["binary"], size["total"]) == (counted[0], sum(counted))


def smooth_images(size):
    """Neighbours alike, as in photographs: pooled noise is hardly ever below 0."""
    coarse = tf.random.stateless_normal((8, 4, 4, 3), (0, 1))
    return tf.image.resize(coarse, (size, size))


@pytest.mark.parametrize("network", BASELINES)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_binary_inputs_have_both_signs(architecture, network):
    model = built(architecture, network)
    warn_of_nonnegative_inputs(model)  # Warnings are errors.
    binary = [la for la in model.layers if isinstance(la, larq.layers.QuantConv2D)]
    stages, blocks = SPECIFICATIONS[architecture][2:4]
    assert len(binary) == 2 * len(stages) * blocks
    inputs = keras.Model(model.input, [la.get_input_at(0) for la in binary])
    # Batch normalisation with the statistics of the batch, as after some training.
    maps = inputs(smooth_images(model.input_shape[1]), training=True)
    negative = {
        layer.name: np.mean(x < 0) for layer, x in zip(binary, maps, strict=True)
    }
    # A pooling and RPReLU with its starting slope make more of them positive.
    assert all(0.1 < share < 0.7 for share in negative.values()), negative


@pytest.mark.parametrize("network", BASELINES)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_student_takes_over_all_that_the_teacher_has(architecture, network):
    teacher = built(architecture, "full_precision")
    student = built(architecture, network)
    learned = [layer.name for layer in teacher.layers if layer.weights]
    assert sorted(rbcn.copy_weights(teacher, student)) == sorted(learned)
    for name in learned:
        kernel = teacher.get_layer(name).weights[0]
        np.testing.assert_array_equal(student.get_layer(name).weights[0], kernel)


@pytest.mark.parametrize("network", RECTIFIED)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_taps_are_paired_by_name(architecture, network):
    teacher = built(architecture, "full_precision")
    student = built(architecture, network)
    model = rbcn.RBCNModel(student, teacher, check_teacher=False)
    expected = {
        name.replace("conv", "bn")
        for name in (
            la.name for la in student.layers if isinstance(la, RectifiedConv2D)
        )
    }
    assert {tap.student for tap in model.taps} == expected
    assert all(tap.student == tap.teacher for tap in model.taps)
    assert len(model.taps) == len(expected)


def test_reactnet_has_a_threshold_and_a_prelu_for_every_convolution():
    layers = small("reactnet").layers
    count = {
        kind: sum(isinstance(la, kind) for la in layers) for kind in (RSign, RPReLU)
    }
    assert count == {RSign: 18, RPReLU: 18}


@pytest.mark.parametrize("network", NETWORKS)
def test_relus(network):
    """None in front of a 1-bit convolution, one in front of the last pooling."""
    model = built("wide_resnet22", network)
    relus = [la.name for la in model.layers if isinstance(la, keras.layers.ReLU)]
    if network == "full_precision":
        assert len(relus) == 1 + 2 * 9
    else:
        assert relus == ([] if network == "reactnet" else ["final_relu"])


@pytest.mark.parametrize(
    ("architecture", "maps"),
    [
        ("resnet18", [16, 16, 8, 8, 4, 4, 2, 2]),
        ("cifar_resnet18", [16, 16, 8, 8, 4, 4, 2, 2]),
        ("wide_resnet22", [8] * 3 + [4] * 3 + [2] * 3),
        ("wide_resnet40", [8] * 6 + [4] * 6 + [2] * 6),
    ],
)
@pytest.mark.parametrize("network", ["full_precision", "bcnn", "rbcn"])
def test_sizes_of_the_feature_maps(network, architecture, maps):
    layers = built(architecture, network).layers
    ends = [la for la in layers if la.name.endswith(("_add", "_add2"))]
    assert [layer.output_shape[1] for layer in ends] == maps


def test_one_pair_trains():
    teacher, student = small("full_precision"), small("rbcn")
    rbcn.copy_weights(teacher, student)
    model = rbcn.RBCNModel(student, teacher, taps="stage", check_teacher=False)
    model.compile(
        "adam",
        "sparse_categorical_crossentropy",
        kernel_weight=1e-4,
        adversarial_weight=0.01,
        run_eagerly=True,
    )
    images = np.random.default_rng(0).normal(size=(6, 8, 8, 3)).astype("float32")
    logs = model.train_on_batch(images, np.arange(6) % 5, return_dict=True)
    losses = {"task_loss", "kernel_loss", "adversarial_loss", "distillation_loss"}
    assert losses <= set(logs)
    assert np.all(np.isfinite(list(logs.values())))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_docstrings_tell_the_parameters(architecture):
    text = ARCHITECTURES[architecture].__doc__
    assert f"{PARAMETERS[architecture][0]:,}" in text
    assert f"{BINARY[architecture]:,}" in text


@pytest.mark.parametrize("network", BASELINES)
def test_docstrings_of_baselines_tell_the_parameters(network):
    text = BASELINES[network].__doc__
    assert f"{sum(expected_parameters('resnet18', network)):,}" in text
    assert f"{BINARY['resnet18']:,}" in text


def test_the_table_in_the_docs_is_right():
    result = json.loads(
        (ROOT / "benchmarks/results/applications_table.json").read_text("utf-8")
    )
    text = (ROOT / "docs/applications.md").read_text("utf-8")
    found = {}
    for row in result["rows"]:
        found[row["architecture"], row["network"]] = (row["binary"], row["real"])
        mbit = (row["binary"] + 32 * row["real"]) / 1e6
        assert row["mbit"] == pytest.approx(mbit)
        assert f"{row['binary']:,} | {row['real']:,} | {mbit:.2f} |" in text
    assert found == {
        (architecture, network): expected_parameters(architecture, network)
        for architecture in ARCHITECTURES
        for network in NETWORKS
    }
