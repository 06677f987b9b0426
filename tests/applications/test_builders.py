"""Keras' conventions for functions that build networks, and what they refuse."""

from pathlib import Path

import numpy as np
import pytest
from small_networks import (
    ARCHITECTURES,
    BASELINES,
    CLASSES,
    NETWORKS,
    SHAPE,
    STAGES,
    built,
    built_small,
    small,
)

from keras_rbcn import applications
from keras_rbcn._backend import keras, tf


@pytest.fixture
def images():
    return np.random.default_rng(0).normal(size=(4, *SHAPE)).astype("float32")


# --------------------------------------------------------------------- conventions


@pytest.mark.parametrize(
    ("architecture", "shape", "classes", "features"),
    [
        ("resnet18", (224, 224, 3), 1000, (7, 7, 512)),
        ("cifar_resnet18", (32, 32, 3), 100, (4, 4, 128)),
        ("wide_resnet22", (32, 32, 3), 100, (8, 8, 64)),
        ("wide_resnet40", (32, 32, 3), 100, (8, 8, 64)),
    ],
)
def test_defaults(architecture, shape, classes, features):
    model = ARCHITECTURES[architecture]()
    assert model.input_shape == (None, *shape)
    assert model.output_shape == (None, classes)
    assert model.name == architecture
    # Features are those in front of the last pooling.
    pooled = model.get_layer("avg_pool").input_shape
    assert pooled == (None, *features)


def test_features(images, tmp_path):
    model = small("rbcn", classifier_activation=None)
    for weight in model.weights:
        if "gamma" in weight.name or "beta" in weight.name:
            weight.assign(np.random.default_rng(1).uniform(0.5, 1.5, weight.shape))
    path = tmp_path / "model.weights.h5"
    model.save_weights(path)
    outputs = {
        pooling: small("rbcn", include_top=False, weights=path, pooling=pooling)(images)
        for pooling in (None, "avg", "max")
    }
    features = outputs[None].numpy()
    assert features.shape == (4, 2, 2, 10)
    np.testing.assert_allclose(outputs["avg"], features.mean((1, 2)), rtol=1e-5)
    np.testing.assert_allclose(outputs["max"], features.max((1, 2)), rtol=1e-5)
    kernel, bias = (w.numpy() for w in model.get_layer("predictions").weights)
    logits = model(images)
    np.testing.assert_allclose(
        logits, outputs["avg"].numpy() @ kernel + bias, rtol=1e-4, atol=1e-5
    )
    softmax = small("rbcn", weights=path)(images)
    np.testing.assert_allclose(softmax, tf.nn.softmax(logits), rtol=1e-5)


@pytest.mark.parametrize("suffix", [".weights.h5", ".h5", ".keras"])
def test_weights(suffix, images, tmp_path):
    model = built_small("reactnet")
    path = save(model, tmp_path / f"model{suffix}")
    keras.utils.set_random_seed(1)
    loaded = small("reactnet", weights=path if suffix == ".h5" else str(path))
    np.testing.assert_array_equal(loaded(images), model(images))


def description(model):
    """Layers, how they are connected, and how they binarise."""
    return [
        (
            type(layer),
            layer.name,
            layer.output_shape,
            # Of the first call: that of the network, before a test takes a part of it.
            [
                source.name
                for source in tf.nest.flatten(layer.inbound_nodes[0].inbound_layers)
            ],
            type(getattr(layer, "input_quantizer", None)),
            type(getattr(layer, "kernel_quantizer", None)),
            getattr(layer, "pad_values", None),
        )
        for layer in model.layers
    ]


@pytest.mark.parametrize("network", NETWORKS)
def test_reloads_without_custom_objects(network, images, tmp_path):
    model = built_small(network)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert description(loaded) == description(model)
    np.testing.assert_array_equal(loaded(images), model(images))


@pytest.mark.parametrize("network", BASELINES)
def test_baselines_are_the_students_of_their_name(network):
    arguments = {"input_shape": SHAPE, "stages": STAGES, "classes": CLASSES}
    model = BASELINES[network]("wide_resnet22", **arguments)
    assert model.name == f"wide_resnet22_{network}"
    assert description(model) == description(built_small(network))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_baselines_on_each_architecture(architecture):
    arguments = {"input_shape": (32, 32, 1), "include_top": False, "name": "mine"}
    if architecture != "resnet18":
        arguments["stages"] = (4, 6, 8, 10)
    model = applications.RBCN(architecture, **arguments)
    assert model.name == "mine"
    assert model.output_shape[-1] == (512 if architecture == "resnet18" else 10)
    whole = [layer.name for layer in built(architecture, "rbcn").layers]
    narrow_stem = ["stage1_block1_shortcut_conv", "stage1_block1_shortcut_bn"]
    own = [la.name for la in model.layers if la.name not in narrow_stem]
    assert own == whole[:-2]


def test_numbers_of_numpy_and_lists(images):
    model = small("rbcn", input_shape=list(SHAPE), classes=np.int64(3))
    assert model(images).shape == (4, 3)
    assert small("rbcn", stages=np.array([4, 4, 6, 6])).count_params() > 0


def test_first_stage_projects_where_the_first_convolution_is_narrower():
    names = [la.name for la in small("rbcn", stages=(4, 8, 8, 8)).layers]
    assert "stage1_block1_shortcut_conv" in names
    assert "stage1_block2_shortcut_conv" not in names


@pytest.mark.parametrize(
    ("architecture", "smallest"),
    [
        ("resnet18", 32),
        ("cifar_resnet18", 8),
        ("wide_resnet22", 4),
        ("wide_resnet40", 4),
    ],
)
def test_the_smallest_images(architecture, smallest):
    build = ARCHITECTURES[architecture]
    model = build(include_top=False, input_shape=(smallest, smallest, 1))
    assert model.output_shape[1:3] == (1, 1)
    with pytest.raises(ValueError, match=f"at least {smallest} high and wide") as error:
        build(include_top=False, input_shape=(smallest, smallest - 1, 1))
    assert f"input_shape={(smallest, smallest - 1, 1)}" in str(error.value)


# --------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"network": "RBCN"}, "`network` to be one of .*'rbcn'.*network='RBCN'"),
        ({"network": None}, "`network` to be one of"),
        ({"network": ["rbcn"]}, "`network` to be one of"),
        ({"stages": (16, 32, 64)}, r"`stages` to be 4 numbers .*\(16, 32, 64\)"),
        ({"stages": (16, 16, 32, 64, 128)}, "`stages` to be 4 numbers"),
        ({"stages": (16, 16, 32, 0)}, "positive integers, received"),
        ({"stages": (16, 16, 32, -64)}, "positive integers, received"),
        ({"stages": (16, 16, 32, 64.0)}, "positive integers, received"),
        ({"stages": (16, 16, 32, True)}, "positive integers, received"),
        ({"stages": "16-16-32-64"}, "`stages` to be 4 numbers"),
        ({"stages": 16}, "`stages` to be 4 numbers"),
        ({"classes": 0}, "`classes` to be a positive integer, received: classes=0"),
        ({"classes": 10.0}, "`classes` to be a positive integer"),
        ({"classes": None}, "`classes` to be a positive integer"),
        ({"pooling": "mean"}, "`pooling` to be one of .*pooling='mean'"),
        ({"classifier_activation": "softmaxx"}, "softmaxx"),
        ({"input_shape": (None, None, 3)}, r"Height and width must be known"),
        ({"input_shape": (8, 8)}, r"`input_shape` to be \(height, width, channels\)"),
        ({"input_shape": (1, 8, 8, 3)}, r"received: input_shape=\(1, 8, 8, 3\)"),
        ({"input_shape": 8}, "received: input_shape=8"),
        ({"input_shape": (3, 8, 8)}, "at least 4 high and wide"),
        ({"weights": "imagenet"}, "no weights to download"),
        ({"weights": 3}, "`weights` to be None .* received: weights=3"),
        ({"weights": Path("none.weights.h5")}, "none.weights.h5"),
        ({"weights": "."}, "path of an existing file"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        small(**{"network": "rbcn", **arguments})


def test_refuses_another_architecture():
    for architecture in ("resnet50", None, ["resnet18"]):
        with pytest.raises(ValueError, match=r"one of .*'wide_resnet40'.*received"):
            applications.RBCN(architecture)


def test_refuses_arguments_that_do_not_apply():
    with pytest.raises(TypeError, match=r"ResNet18\(\).*'stages'"):
        applications.RBCN("resnet18", stages=(16, 16, 32, 64))
    with pytest.raises(TypeError, match="'network'"):
        applications.RBCN("wide_resnet22", network="bcnn")


def test_refuses_channels_in_front():
    before = keras.backend.image_data_format()
    keras.backend.set_image_data_format("channels_first")
    try:
        with pytest.raises(ValueError, match=r"'channels_last'.*'channels_first'"):
            small("rbcn")
    finally:
        keras.backend.set_image_data_format(before)


def save(model, path):
    if path.suffix == ".keras":
        model.save(path)
    else:
        model.save_weights(path)
    return path


@pytest.mark.parametrize("suffix", [".weights.h5", ".h5", ".keras"])
def test_refuses_weights_that_do_not_fit(suffix, tmp_path):
    path = save(built_small("rbcn"), tmp_path / f"of_rbcn{suffix}")
    for arguments in (
        {"network": "full_precision"},
        {"network": "birealnet"},
        {"network": "rbcn", "classes": CLASSES + 1},
    ):
        with pytest.raises(ValueError, match=f"of_rbcn{suffix}.*Keras says: "):
            small(weights=path, **arguments)


def test_refuses_checkpoints_of_tensorflow(tmp_path):
    built_small("rbcn").save_weights(tmp_path / "checkpoint", save_format="tf")
    with pytest.raises(ValueError, match=r"\.weights\.h5.*Keras says: ") as error:
        small("rbcn", weights=tmp_path / "checkpoint.index")
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize("suffix", [".weights.h5", ".h5", ".keras"])
def test_refuses_broken_files(suffix, tmp_path):
    path = save(built_small("rbcn"), tmp_path / f"broken{suffix}")
    for content in (path.read_bytes()[:-100], b""):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"broken{suffix}.*Keras says: "):
            small("rbcn", weights=path)
