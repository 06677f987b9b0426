"""Runs a .tflite file once, in a process of its own, which may crash.

Started by path and not as a module: it must not import TensorFlow, which takes
seconds. Arguments: the path of Larq Compute Engine's interpreter library. Standard
input: the bytes of the model. Prints "ok", or the error.
"""

import importlib.util
import sys

import numpy as np


def main() -> None:
    """Loads the model and runs it on zeros."""
    spec = importlib.util.spec_from_file_location(
        "interpreter_wrapper_lite", sys.argv[1]
    )
    assert spec is not None
    assert spec.loader is not None
    library = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(library)
    try:
        interpreter = library.LiteInterpreter(
            sys.stdin.buffer.read(), 1, False, False, False
        )
        pairs = zip(interpreter.input_shapes, interpreter.input_types, strict=True)
        interpreter.predict([np.zeros(shape, dtype) for shape, dtype in pairs])
    except Exception as error:
        print(f"{type(error).__name__}: {error}")
    else:
        print("ok")


if __name__ == "__main__":
    main()
