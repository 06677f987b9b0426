"""Encoded images cut out and resized, as networks are trained and tested on ImageNet.

Random operations are stateless: the same seed gives the same image.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras_rbcn._backend import tf
from keras_rbcn.datasets.image_decoding import decode_pixels

# Of the random crops of Szegedy et al.: shares of the area, and widths over heights.
_AREAS = (0.08, 1.0)
_ASPECT_RATIOS = (3 / 4, 4 / 3)
_ATTEMPTS = 10


def central_crop(
    encoded: Any, image_size: tuple[int, int], channels: int, fraction: float
) -> Any:
    """The middle of an image, resized (bilinear).

    Args:
        encoded: Scalar string, a JPEG, PNG, GIF or BMP file.
        image_size: Height and width of the result in pixels.
        channels: 1, 3 or 4.
        fraction: Of the sides of the largest part that has the result's aspect ratio.

    Returns:
        float32 of shape `(height, width, channels)`, from 0 to 255.
    """
    height, width = image_size
    aspect_ratio = width / height

    def window(shape: Any) -> Any:
        return _central_window(shape, (aspect_ratio, aspect_ratio), fraction)

    return tf.image.resize(_decode_window(encoded, window, channels), image_size)


def random_crop_and_flip(
    encoded: Any, image_size: tuple[int, int], channels: int, seed: Any
) -> Any:
    """A random part of an image, resized; every other time its mirror image.

    Args:
        encoded: Scalar string, a JPEG, PNG, GIF or BMP file.
        image_size: Height and width of the result in pixels.
        channels: 1, 3 or 4.
        seed: Two integers.

    Returns:
        float32 of shape `(height, width, channels)`, from 0 to 255.
    """
    crop_seed, flip_seed = tf.unstack(tf.random.split(seed))
    image = _decode_window(
        encoded, lambda shape: random_window(shape, crop_seed), channels
    )
    return tf.image.stateless_random_flip_left_right(
        tf.image.resize(image, image_size), flip_seed
    )


def random_window(shape: Any, seed: Any) -> Any:
    """Top, left, height and width of a random part of an image.

    Args:
        shape: int32 of shape `(2,)`: height and width of the image.
        seed: Two integers.
    """
    begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
        tf.concat([shape, [1]], axis=0),
        tf.zeros((1, 0, 4)),
        seed,
        min_object_covered=0.0,
        aspect_ratio_range=_ASPECT_RATIOS,
        area_range=_AREAS,
        max_attempts=_ATTEMPTS,
        use_image_if_no_bounding_boxes=True,
    )
    # If no attempt succeeds, TensorFlow takes the image whole, whatever its shape.
    return tf.where(
        tf.reduce_all(size[:2] == shape),
        _central_window(shape, _ASPECT_RATIOS, 1.0),
        tf.concat([begin[:2], size[:2]], axis=0),
    )


def _central_window(
    shape: Any, aspect_ratios: tuple[float, float], fraction: float
) -> Any:
    """Of the largest part with such an aspect ratio, a fraction of each side."""
    height, width = tf.unstack(tf.cast(shape, tf.float32))
    narrowest, widest = aspect_ratios
    sides = tf.stack(
        [tf.minimum(height, width / narrowest), tf.minimum(width, height * widest)]
    )
    size = tf.maximum(tf.cast(tf.round(sides * fraction), tf.int32), 1)
    return tf.concat([(shape - size) // 2, size], axis=0)


def _decode_window(encoded: Any, window: Callable[[Any], Any], channels: int) -> Any:
    """The pixels of a part of an image; `window` tells which, from height and width.

    `tf.io.decode_and_crop_jpeg` saves a tenth of the time, but mixes no colours across
    the right edge of the part, and knows one format.
    """
    image = decode_pixels(encoded, channels)
    top, left, height, width = tf.unstack(window(tf.shape(image)[:2]))
    part = image[top : top + height, left : left + width]
    return tf.ensure_shape(part, (None, None, channels))
