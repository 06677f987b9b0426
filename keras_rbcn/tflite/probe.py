"""Runs a .tflite file once, in a process of its own, which may crash.

Started by path and not as a module: it must not import TensorFlow without need, which
takes seconds. Argument: the module of a stock interpreter, or the path of Larq Compute
Engine's interpreter library. Standard input: the bytes of the model. Prints "ok", or
the error.
"""

import importlib
import importlib.util
import os
import sys

import numpy as np


def main() -> None:
    """Loads the model and runs it on zeros."""
    content, name = sys.stdin.buffer.read(), sys.argv[1]
    try:
        if os.path.isabs(name):
            _run_in_larq_interpreter(name, content)
        else:
            _run_in_stock_interpreter(name, content)
    except Exception as error:
        print(f"{type(error).__name__}: {error}")
    else:
        print("ok")


def _run_in_larq_interpreter(path: str, content: bytes) -> None:
    spec = importlib.util.spec_from_file_location("interpreter_wrapper_lite", path)
    assert spec is not None
    assert spec.loader is not None
    library = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(library)
    interpreter = library.LiteInterpreter(content, 1, False, False, False)
    pairs = zip(interpreter.input_shapes, interpreter.input_types, strict=True)
    interpreter.predict([np.zeros(shape, dtype) for shape, dtype in pairs])


def _run_in_stock_interpreter(name: str, content: bytes) -> None:
    interpreter = importlib.import_module(name).Interpreter(model_content=content)
    interpreter.allocate_tensors()
    for detail in interpreter.get_input_details():
        zeros = np.zeros(detail["shape"], detail["dtype"])
        interpreter.set_tensor(detail["index"], zeros)
    interpreter.invoke()


if __name__ == "__main__":
    main()
