"""Reads and runs .tflite files with nothing of keras_rbcn, to judge its exports."""

import dataclasses
import warnings
from collections import Counter
from typing import Any

import numpy as np
from larq_compute_engine.mlir.python import tflite_schema as schema
from larq_compute_engine.tflite.python.interpreter import Interpreter

from keras_rbcn._backend import tf

_NAMES = {
    code: name for name, code in vars(schema.BuiltinOperator).items() if name.isupper()
}
# Operators with a kernel, which is their second input, and where their values are.
_KERNELS = {
    "CONV_2D": 0,
    "DEPTHWISE_CONV_2D": 0,
    "FULLY_CONNECTED": 0,
    "TRANSPOSE_CONV": 2,
}


@dataclasses.dataclass(frozen=True)
class End:
    """An input or output: its place in the file, and what its integers stand for."""

    position: int
    scale: float | None
    zero_point: int

    def to_file(self, values: np.ndarray) -> np.ndarray:
        """Real numbers as the file wants them."""
        if self.scale is None:
            return values.astype(np.float32)
        steps = np.rint(values / self.scale) + self.zero_point
        return np.clip(steps, -128, 127).astype(np.int8)

    def from_file(self, values: np.ndarray) -> np.ndarray:
        """What the file's values mean."""
        if self.scale is None:
            return values
        return (values.astype(np.float64) - self.zero_point) * self.scale


class PlainFile:
    """A .tflite file as its bytes have it.

    Args:
        content: The bytes.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
        self._graph = self._model.subgraphs[0]
        (signature,) = self._model.signatureDefs
        self.inputs = self._ends(signature.inputs, self._graph.inputs)
        self.outputs = self._ends(signature.outputs, self._graph.outputs)

    def _ends(self, named: Any, indices: Any) -> dict[str, End]:
        ends = {}
        for item in named:
            tensor = self._graph.tensors[item.tensorIndex]
            integers = tensor.type == schema.TensorType.INT8
            assert integers or tensor.type == schema.TensorType.FLOAT32
            ends[item.name.decode()] = End(
                list(indices).index(item.tensorIndex),
                float(tensor.quantization.scale[0]) if integers else None,
                int(tensor.quantization.zeroPoint[0]) if integers else 0,
            )
        return ends

    def kinds(self) -> Counter:
        """How many operators with kernels multiply "1-bit", "int8" and "float32".

        A convolution that emulates a 1-bit one has a kernel that is stored in 4 bits
        and made real; `LceBconv2d` is one.
        """
        tensors, four_bits = self._graph.tensors, set()
        found: Counter = Counter()
        for operator in self._graph.operators:
            name, read = self._name(operator), list(operator.inputs)
            if name == "DEQUANTIZE":
                if tensors[read[0]].type == schema.TensorType.INT4:
                    four_bits.add(operator.outputs[0])
            elif name == "LceBconv2d" or (name == "CONV_2D" and read[1] in four_bits):
                found["1-bit"] += 1
            elif name in _KERNELS:
                types = {tensors[i].type for i in (read[_KERNELS[name]], read[1])}
                found["int8" if types == {schema.TensorType.INT8} else "float32"] += 1
        return found

    def _name(self, operator: Any) -> str:
        code = self._model.operatorCodes[operator.opcodeIndex]
        builtin = max(code.builtinCode, code.deprecatedBuiltinCode)
        if builtin == schema.BuiltinOperator.CUSTOM:
            return code.customCode.decode()
        return _NAMES[builtin]

    def run(self, images: dict[str, np.ndarray], how: str) -> dict[str, np.ndarray]:
        """What an interpreter makes of inputs by name, one sample at a time.

        Args:
            images: Real numbers, the samples along the first axis.
            how: "larq" for Larq Compute Engine's; "delegates" and "builtin" for
                TensorFlow's own with its delegates, and without.
        """
        arrays: list[Any] = [None] * len(self.inputs)
        for name, end in self.inputs.items():
            arrays[end.position] = end.to_file(images[name])
        run = self._larq() if how == "larq" else self._stock(how)
        results = [
            run([array[sample : sample + 1] for array in arrays])
            for sample in range(len(arrays[0]))
        ]
        return {
            name: end.from_file(np.concatenate([one[end.position] for one in results]))
            for name, end in self.outputs.items()
        }

    def _larq(self) -> Any:
        return Interpreter(self._content, 1).interpreter.predict

    def _stock(self, how: str) -> Any:
        resolver = tf.lite.experimental.OpResolverType
        kinds = {
            "delegates": resolver.AUTO,
            "builtin": resolver.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            interpreter = tf.lite.Interpreter(
                model_content=self._content, experimental_op_resolver_type=kinds[how]
            )
        interpreter.allocate_tensors()
        inputs = [one["index"] for one in interpreter.get_input_details()]
        outputs = [one["index"] for one in interpreter.get_output_details()]

        def run(arrays: list[np.ndarray]) -> list[np.ndarray]:
            for index, array in zip(inputs, arrays, strict=True):
                interpreter.set_tensor(index, array)
            interpreter.invoke()
            return [interpreter.get_tensor(index) for index in outputs]

        return run
