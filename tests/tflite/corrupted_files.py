"""Gives corrupted files to TFLiteModel, one after the other; run as a script.

Arguments: a file to write the number of each case to before it runs, the first and the
last case, and the files to corrupt. Prints "done" and the outcomes, if no case ended
the process.
"""

import sys
from collections import Counter
from pathlib import Path

import numpy as np

from keras_rbcn.tflite import TFLiteModel


def corrupt(content: bytes, case: int) -> bytes:
    """A damaged copy: cut off, noise, or with bits, bytes or a run of bytes changed."""
    generator = np.random.default_rng(case)
    data = bytearray(content)
    kind = case % 6
    if kind == 0:
        return bytes(data[: generator.integers(len(data))])
    if kind == 1:
        data = bytearray(generator.bytes(generator.integers(8, 5000)))
        data[4:8] = b"TFL3"
        return bytes(data)
    if kind == 2:
        for place in generator.integers(len(data), size=generator.integers(1, 4)):
            data[place] ^= 1 << generator.integers(8)
    elif kind == 3:
        for place in generator.integers(len(data), size=generator.integers(1, 30)):
            data[place] = generator.integers(256)
    elif kind == 4:
        # Small numbers are lengths, indices and shapes; most others are weights.
        small = np.flatnonzero(np.frombuffer(content, np.uint8) < 16)
        for place in generator.choice(small, generator.integers(1, 4)):
            data[place] = generator.integers(256)
    else:
        size = generator.integers(1, 64)
        start = generator.integers(len(data) - size)
        data[start : start + size] = generator.bytes(size)
    return bytes(data)


def run(content: bytes) -> str:
    """Loads and runs it as a user would; only a ValueError may come out."""
    try:
        model = TFLiteModel(content)
        shapes = zip(model.input_shapes, model.input_dtypes, strict=True)
        model.predict([np.ones(shape, dtype) for shape, dtype in shapes])
    except ValueError as error:
        if not str(error).startswith("Expected a .tflite model"):
            raise
        return "refused"
    return "ran"


def main() -> None:
    """Runs all cases."""
    log, first, last = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    contents = [Path(name).read_bytes() for name in sys.argv[4:]]
    outcomes: Counter[str] = Counter()
    for case in range(first, last):
        log.write_text(str(case))
        outcomes[run(corrupt(contents[case % len(contents)], case))] += 1
    print("done", outcomes["refused"], outcomes["ran"])


if __name__ == "__main__":
    main()
