"""In what the layers, inputs and outputs of a file compute: float32 or int8."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_rbcn.export.wording import listed
from keras_rbcn.quantization.layers import is_range, quantized_layers
from keras_rbcn.quantization.quantize import (
    check_not_quantized,
    quantize_real_layers,
)

FLOAT32, INT8 = ELEMENT_TYPES = ("float32", "int8")


@dataclass(frozen=True)
class ElementTypes:
    """The element types that a file is to have.

    Attributes:
        real_layers: That of the layers with real kernels.
        input_type: That of the inputs.
        output_type: That of the outputs.
    """

    real_layers: str = FLOAT32
    input_type: str = FLOAT32
    output_type: str = FLOAT32

    def check(self, student: Any, calibration_data: Any, verify_data: Any) -> None:
        """Checks that a student can be brought to them.

        Args:
            student: The student.
            calibration_data: As of `export_tflite`.
            verify_data: As of `export_tflite`.

        Raises:
            ValueError: If not.
        """
        for name, value in vars(self).items():
            if value not in ELEMENT_TYPES:
                raise ValueError(
                    f"Expected `{name}` to be one of {ELEMENT_TYPES}, received: "
                    f"{name}={value!r}."
                )
        if self.real_layers == FLOAT32:
            self._check_float(student, calibration_data)
        elif verify_data is None:
            raise ValueError(
                "Expected `verify_data` for real layers in int8, whose ranges are "
                "judged by them, received: None. Give real inputs that nothing was "
                "measured on, such as the validation data."
            )
        elif quantized_layers(student):
            _check_calibrated(student, calibration_data)
        elif calibration_data is None:
            raise ValueError(
                "Expected `calibration_data` for real layers in int8, whose values are "
                "rounded by their ranges on data, received: None. Give inputs from the "
                "training data, a few hundred of them."
            )

    def _check_float(self, student: Any, calibration_data: Any) -> None:
        check_not_quantized(student, "Export it with real_layers='int8'.")
        if calibration_data is not None:
            raise ValueError(
                "Expected no `calibration_data`, which are for real_layers='int8', "
                "received some: without it nothing is in int8."
            )
        for name in ("input_type", "output_type"):
            if getattr(self, name) == INT8:
                raise ValueError(
                    f"Expected `{name}` to be 'float32', since nothing in the model "
                    f"has a range, received: {name}='int8'. Give real_layers='int8' "
                    "and `calibration_data` as well."
                )

    def brought_to(self, student: Any, calibration_data: Any, samples: int) -> Any:
        """The student with its real layers in int8, if they are to be and are not.

        Args:
            student: The student, which has been checked.
            calibration_data: As of `quantize_real_layers`.
            samples: As of `quantize_real_layers`.
        """
        if self.real_layers == FLOAT32 or quantized_layers(student):
            return student
        return quantize_real_layers(
            student,
            calibration_data,
            samples=samples,
            int8_inputs=self.input_type == INT8,
            int8_outputs=self.output_type == INT8,
        )


def _check_calibrated(student: Any, calibration_data: Any) -> None:
    if calibration_data is not None:
        raise ValueError(
            f"Expected no `calibration_data`, since model '{student.name}' has its "
            "ranges from `quantize_real_layers` already, received some."
        )
    numbers = [one for one in student.weights if one.dtype.is_floating]
    lost = [one.name for one in numbers if np.isnan(one).any()]
    if lost:
        raise ValueError(
            f"Expected the weights of model '{student.name}' to be numbers, received "
            f"NaN in {listed(lost)}. Take weights from before its losses stopped being "
            "finite."
        )
    for layer in quantized_layers(student):
        if not layer.is_calibrated:
            raise ValueError(
                "Expected the ranges of all values to come from data, received: those "
                f"of layer '{layer.name}' are as they were made. Use "
                "`quantize_real_layers`."
            )
        for place in layer.quantize_config.places:
            low, high = layer.range_of(place)
            if not is_range(low, high):
                raise ValueError(
                    f"Expected the range of the {place} of layer '{layer.name}' to be "
                    "of finite numbers and to hold zero, received: "
                    f"{low:.4g} to {high:.4g}. If the model was trained on, take "
                    "weights from before its losses stopped being finite."
                )
