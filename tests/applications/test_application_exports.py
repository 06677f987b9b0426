"""A small student of each kind becomes the .tflite file that is expected of it."""

import numpy as np
import pytest
from small_networks import BASELINES, SHAPE, built_small

import keras_rbcn as rbcn

CONVOLUTIONS = 18
BLOCKS = 9
REAL = {"CONV_2D": 3, "MEAN": 1, "FULLY_CONNECTED": 1, "SOFTMAX": 1}
ONE_SHORTCUT = {
    **REAL,
    "LceBconv2d": CONVOLUTIONS,
    # The first convolution of a block hands signs to the second.
    "LceQuantize": BLOCKS,
    "ADD": BLOCKS,
}
TWO_SHORTCUTS = {
    **REAL,
    "LceBconv2d": CONVOLUTIONS,
    "LceQuantize": CONVOLUTIONS,
    "ADD": CONVOLUTIONS,
}
OPERATORS = {
    "bcnn": ONE_SHORTCUT,
    "xnornet": ONE_SHORTCUT,
    "birealnet": TWO_SHORTCUTS,
    "rbcn": TWO_SHORTCUTS,
    # A subtraction for RSign, one more and an addition for the shifts of RPReLU.
    "reactnet": {
        **TWO_SHORTCUTS,
        "PRELU": CONVOLUTIONS,
        "SUB": 2 * CONVOLUTIONS,
        "ADD": 2 * CONVOLUTIONS,
    },
}


@pytest.mark.parametrize("network", BASELINES)
def test_exports(network, tmp_path):
    model = built_small(network)
    generator = np.random.default_rng(0)
    for weight in model.weights:
        # Equal constants, such as those of fresh layers, are left out or stored once.
        if "kernel" not in weight.name:
            weight.assign(generator.uniform(0.5, 1.5, weight.shape))
    images = generator.normal(size=(16, *SHAPE)).astype("float32")
    report = rbcn.export_tflite(model, tmp_path / "model.tflite", verify_data=images)
    assert report.operator_counts == OPERATORS[network]
    expected = [
        f"stage{stage}_block{block}_conv{index}"
        for stage in (1, 2, 3)
        for block in (1, 2, 3)
        for index in (1, 2)
    ]
    assert list(report.binary_convolutions) == expected
    assert report.missing == ()
    assert report.agreement.passed
