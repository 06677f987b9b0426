"""From the pixels of an image to the numbers that a model was trained on.

The sample apps compute the same, in other languages: `tests/examples` holds them to it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_rbcn._backend import tf
from keras_rbcn._grey import grey

# The number of channels of a model's images, and what they are.
COLORS = {1: "grayscale", 3: "rgb"}
WHITE = 255


@dataclass(frozen=True)
class ImagePreprocessing:
    """How the pixels of an image become the inputs of a model.

    The image is resized to the height and width that the model takes: bilinear, as
    `tf.image.resize` does it, without smoothing. A colour image becomes grey, for a
    model of one channel, by (299 red + 587 green + 114 blue) / 1000, rounded. Then each
    value becomes (value - mean) / std.

    Args:
        mean: What is subtracted from pixels, which go from 0 to 255: one number, or one
            for each channel.
        std: What the differences are divided by, likewise.
        crop_fraction: None if the whole image is resized, without regard to its aspect
            ratio, as `datasets.image_folder` does it; else its middle is cut out first:
            of the largest part with the aspect ratio of the model, this share of each
            side, as `datasets.tfrecords` does it for images to test on.

    Raises:
        ValueError: If a number is not finite, `std` is not positive, or the fraction
            does not lie in (0, 1].

    Example:
        >>> preprocessing = ImagePreprocessing.from_range(-1, 1)
        >>> preprocessing
        ImagePreprocessing(mean=(127.5,), std=(127.5,), crop_fraction=None)
        >>> black_and_white = np.array([[[0], [255]]], "uint8")
        >>> preprocessing.apply(black_and_white, (1, 2), channels=1).tolist()
        [[[-1.0], [1.0]]]
    """

    mean: float | Sequence[float]
    std: float | Sequence[float]
    crop_fraction: float | None = None

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            object.__setattr__(self, name, _numbers(name, getattr(self, name)))
        if min(self.std) <= 0:  # type: ignore[arg-type]
            raise ValueError(
                f"Expected `std` to be positive, received: std={self.std!r}."
            )
        fraction = self.crop_fraction
        if fraction is not None and not (_is_number(fraction) and 0 < fraction <= 1):
            raise ValueError(
                "Expected `crop_fraction` to be None or a number above 0 and up to 1, "
                f"received: crop_fraction={fraction!r}."
            )

    @classmethod
    def from_range(
        cls, black: float, white: float, crop_fraction: float | None = None
    ) -> ImagePreprocessing:
        """What `rescale=(black, white)` does in `datasets.image_folder` and others.

        Args:
            black: What 0 becomes.
            white: What 255 becomes.
            crop_fraction: See the class.

        Raises:
            ValueError: If they are not finite, or not in rising order.
        """
        if not (
            _is_number(black)
            and _is_number(white)
            and 0 < float(white) - float(black) < math.inf
        ):
            raise ValueError(
                "Expected what black and white become to be two finite numbers, of "
                f"which the second is the larger, received: {black!r}, {white!r}."
            )
        std = WHITE / (float(white) - float(black))
        # `0.0 -` so that a black of 0 gives no negative zero.
        return cls(0.0 - float(black) * std, std, crop_fraction)

    def for_channels(self, channels: int) -> tuple[list[float], list[float]]:
        """Mean and standard deviation of each channel.

        Args:
            channels: How many channels there are.

        Raises:
            ValueError: If there are other numbers of them.
        """
        mean, std = (
            self._of_each(name, getattr(self, name), channels)
            for name in ("mean", "std")
        )
        return mean, std

    def _of_each(self, name: str, values: Sequence[float], count: int) -> list[float]:
        if len(values) not in (1, count):
            raise ValueError(
                f"Expected `{name}` to be one number, or {count} for the channels of "
                f"the model, received {len(values)}."
            )
        return list(values) * (count // len(values))

    def apply(self, image: Any, size: tuple[int, int], channels: int) -> np.ndarray:
        """Turns the pixels of one image into inputs.

        Args:
            image: uint8, `(height, width, 3)`, red, green and blue; for grey images
                `(height, width, 1)` or `(height, width)`.
            size: Height and width that the model takes.
            channels: 1 or 3, that the model takes.

        Returns:
            float32 of shape `(*size, channels)`.

        Raises:
            TypeError: If the image is not of type uint8.
            ValueError: If its shape is none of these.
        """
        pixels = _with_channels(_check_image(image), channels)
        if self.crop_fraction is not None:
            pixels = _middle(pixels, size, self.crop_fraction)
        resized = tf.image.resize(pixels, size).numpy()
        mean, std = (
            np.asarray(values, np.float32) for values in self.for_channels(channels)
        )
        return (resized - mean) / std


def _check_image(image: Any) -> np.ndarray:
    array = np.asarray(image)
    if array.dtype != np.uint8:
        raise TypeError(
            "Expected an image to be of type uint8, with pixels from 0 to 255, "
            f"received: dtype={array.dtype}."
        )
    if array.ndim == 2:
        array = array[..., np.newaxis]
    if array.ndim != 3 or array.shape[2] not in COLORS or 0 in array.shape:
        raise ValueError(
            "Expected an image of shape (height, width, 3), of red, green and blue, or "
            "(height, width, 1), of grey, received: "
            f"shape={np.shape(image)}. Leave out what is opaque (alpha)."
        )
    return array


def _with_channels(image: np.ndarray, channels: int) -> np.ndarray:
    if image.shape[2] == channels:
        return image
    if channels == 3:
        return np.repeat(image, 3, axis=2)
    return grey(image).numpy()


def _middle(image: np.ndarray, size: tuple[int, int], fraction: float) -> np.ndarray:
    """The middle of the image with the aspect ratio of `size`."""
    # In float32 and half to even, as `datasets.tfrecords` does it.
    height, width = np.float32(image.shape[0]), np.float32(image.shape[1])
    aspect_ratio = np.float32(size[1] / size[0])
    sides = (min(height, width / aspect_ratio), min(width, height * aspect_ratio))
    rows, columns = (
        max(int(np.rint(side * np.float32(fraction))), 1) for side in sides
    )
    top, left = (image.shape[0] - rows) // 2, (image.shape[1] - columns) // 2
    return image[top : top + rows, left : left + columns]


def _numbers(name: str, value: Any) -> tuple[float, ...]:
    values = tuple(value) if isinstance(value, list | tuple | np.ndarray) else (value,)
    if not values or not all(map(_is_number, values)):
        raise ValueError(
            f"Expected `{name}` to be a finite number, or one for each channel, "
            f"received: {name}={value!r}."
        )
    return tuple(map(float, values))


def _is_number(value: Any) -> bool:
    return (
        isinstance(value, int | float | np.integer | np.floating)
        and not isinstance(value, bool)
        and math.isfinite(value)
    )
