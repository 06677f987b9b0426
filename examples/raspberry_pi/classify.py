"""Classifies images by a bundle of the runtime `litert`, on a Raspberry Pi, say.

    python classify.py BUNDLE IMAGE...

1-bit files, of the runtime `lce`, need the program in C++ (README.md).
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from bundle_reader import Bundle, BundleError
from PIL import Image, ImageOps, UnidentifiedImageError


class Classifier:
    """A bundle in an interpreter.

    Args:
        bundle: The bundle.
        threads: How many threads compute.

    Raises:
        BundleError: If its model needs another interpreter, or takes or gives other
            numbers than it tells.
    """

    def __init__(self, bundle, threads=4):
        if bundle.runtime != "litert":
            raise BundleError(
                f"'{bundle.name}' was exported for the runtime '{bundle.runtime}': "
                "take the program in C++, or export it with the runtime 'litert'"
            )
        self._bundle = bundle
        self._interpreter = Interpreter(model_content=bundle.model, num_threads=threads)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]
        self._output = self._interpreter.get_output_details()[bundle.output_number]
        for tensor, told in (
            (self._input, bundle.input),
            (self._output, bundle.output),
        ):
            if tensor["shape"].tolist() != told["shape"] or tensor["dtype"] != np.dtype(
                told["dtype"]
            ):
                raise BundleError("the model takes or gives other numbers than told")

    def classify(self, image, top=5):
        """Classifies an image.

        Args:
            image: uint8 array `(height, width, 3)`.
            top: How many classes to return at most.

        Returns:
            Pairs of label and score, and the seconds that the model took.
        """
        inputs = self._bundle.preprocess(image)
        begin = time.perf_counter()
        self._interpreter.set_tensor(self._input["index"], inputs)
        self._interpreter.invoke()
        seconds = time.perf_counter() - begin
        scores = self._interpreter.get_tensor(self._output["index"])
        return self._bundle.best(scores, top), seconds


def read_image(path):
    """The pixels of an image file, upright, as uint8 `(height, width, 3)`."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no file '{path}'")
    with Image.open(path) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def main(arguments=None):
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle")
    parser.add_argument("images", nargs="+")
    parser.add_argument("--top", type=int, default=5)
    parser.add_argument("--threads", type=int, default=4)
    options = parser.parse_args(arguments)
    try:
        bundle = Bundle(options.bundle)
        classifier = Classifier(bundle, options.threads)
        print(bundle.name)
        for path in options.images:
            best, seconds = classifier.classify(read_image(path), options.top)
            print(f"{path} ({1000 * seconds:.1f} ms)")
            for label, score in best:
                print(f"  {score:6.1%}  {label}")
    except (BundleError, OSError, UnidentifiedImageError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
