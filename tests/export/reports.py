"""Reports of exports for the tests of their document."""

import dataclasses
from pathlib import Path

import numpy as np

from keras_rbcn._backend import keras
from keras_rbcn.export import export_tflite
from keras_rbcn.layers import RectifiedConv2D

# Names that would do harm, or look odd, if they were not taken as mere text.
NASTY = (
    "<script>alert(1)</script>",
    "\"><img src='http://example.com/x.png'>",
    "$x^2$ and $\\frac{",
    "&amp; #010203 url(#a)",
    "层\u202e\x00\x1b[31m",
)


def residual_network():
    """A first convolution, and a 1-bit block around which a real shortcut lies."""
    layers = keras.layers
    inputs = keras.Input((8, 8, 3), name="images")
    x = layers.Conv2D(8, 3, padding="same", use_bias=False, name="first")(inputs)
    x = layers.BatchNormalization(name="first_norm")(x)
    # Called before the 1-bit convolution, and normalised behind it.
    shortcut = layers.Conv2D(40, 1, use_bias=False, name="shortcut")(x)
    x = RectifiedConv2D(40, 3, padding="same", name="conv")(x)
    x = layers.BatchNormalization(name="norm")(x)
    shortcut = layers.BatchNormalization(name="shortcut_norm")(shortcut)
    x = layers.Add(name="add")([x, shortcut])
    x = layers.GlobalAveragePooling2D(name="pooling")(x)
    model = keras.Model(inputs, layers.Dense(5, name="scores")(x), name="student")
    generator = np.random.default_rng(0)
    for weight in model.weights:
        # Equal constants, such as those of fresh layers, are stored once.
        if "kernel" not in weight.name:
            weight.assign(generator.uniform(0.5, 1.5, weight.shape))
    return model


def images(count=16):
    shape = (count, 8, 8, 3)
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def exported(model, folder, **arguments):
    path = Path(folder) / "model.tflite"
    return export_tflite(model, path, verify_data=images(), **arguments)


def with_nasty_names(report):
    """The report, with all names that come from a model or a user exchanged."""
    names = NASTY * 20
    replace = dataclasses.replace
    rows = zip(report.layers, names, strict=False)
    held = zip(report.promise.layers, names, strict=False)
    layers = tuple(replace(row, layers=(name, name)) for row, name in held)
    agreements = tuple(
        replace(
            one,
            interpreter=NASTY[0],
            signs=tuple(replace(row, layer=NASTY[1]) for row in one.signs),
        )
        for one in report.agreements
    )
    return replace(
        report,
        path=f"folder/{NASTY[0].replace('/', '')}",
        runtime=NASTY[1],
        inputs=tuple(replace(value, name=NASTY[0]) for value in report.inputs),
        layers=tuple(replace(row, name=name) for row, name in rows),
        promise=replace(report.promise, layers=layers),
        agreements=agreements,
        missing=NASTY,
        versions=dict.fromkeys(NASTY, "<b>1</b>"),
        provenance={"given": {name: list(NASTY) for name in NASTY}},
    )
