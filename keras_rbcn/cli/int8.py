"""Real layers in int8: what the commands that export make of their options."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from keras_rbcn.cli.errors import UserError
from keras_rbcn.cli.samples import check_samples
from keras_rbcn.export.int8.element_types import INT8, ElementTypes
from keras_rbcn.quantization.layers import quantized_layers
from keras_rbcn.quantization.quantize import SAMPLES


def check_calibration_data(path: Path | None, types: ElementTypes) -> None:
    """Checks what can be checked before the model is loaded.

    Raises:
        UserError: If there is no such data, or nothing that needs it.
    """
    if path is None:
        return
    check_samples(path)
    if types.real_layers != INT8:
        raise UserError("--calibration-data is for --real-layers int8: give both.")


def int8_arguments(
    model: Any,
    types: ElementTypes,
    path: Path | None,
    read: Callable[[Path, int], Any],
) -> dict[str, Any]:
    """Arguments for `export_tflite`.

    Args:
        model: What is exported.
        types: As they are asked for.
        path: The calibration data; None without.
        read: Reads so many samples of a path at most.

    Raises:
        UserError: If data are missing, or cannot be read.
    """
    if types.real_layers == INT8 and path is None and not quantized_layers(model):
        raise UserError(
            "--real-layers int8 needs --calibration-data: inputs from the training "
            "data."
        )
    data = None if path is None else read(path, SAMPLES)
    return {**vars(types), "calibration_data": data}
