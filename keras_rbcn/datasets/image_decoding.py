"""Files of images in as many channels as are wanted, whatever is in them."""

from __future__ import annotations

from typing import Any

from keras_rbcn._backend import tf
from keras_rbcn._grey import grey

# How files of formats begin that TensorFlow decodes with some numbers of channels only.
_JPEG = b"\xff\xd8\xff"
_GIF = b"GIF8"
_BMP = b"BM"


def decode_pixels(encoded: Any, channels: int) -> Any:
    """All pixels of an image; of an animation, those of the first frame.

    TensorFlow makes no grey of GIF and BMP files in colours, nor of JPEG files in CMYK
    colours, and no fourth channel for GIF and JPEG files. These are decoded in colours.

    Args:
        encoded: Scalar string, a JPEG, PNG, GIF or BMP file.
        channels: 1 (grey), 3 (red, green, blue) or 4 (and alpha).

    Returns:
        uint8 of shape `(height, width, channels)`.
    """
    if channels == 3:
        return tf.io.decode_image(encoded, channels, expand_animations=False)

    def converted() -> Any:
        colours = tf.io.decode_image(encoded, 3, expand_animations=False)
        colours = tf.ensure_shape(colours, (None, None, 3))
        if channels == 1:
            return grey(colours)
        return tf.concat([colours, tf.fill(tf.shape(colours[..., :1]), opaque)], -1)

    opaque = tf.constant(255, tf.uint8)
    return tf.cond(
        _is_decoded_as(encoded, channels),
        lambda: tf.io.decode_image(encoded, channels, expand_animations=False),
        converted,
    )


def _is_decoded_as(encoded: Any, channels: int) -> Any:
    """Whether TensorFlow decodes this file with 1 or 4 channels, rather than with 3."""

    def begins(start: bytes) -> Any:
        return tf.equal(tf.strings.substr(encoded, 0, len(start)), start)

    if channels == 4:
        return ~(begins(_JPEG) | begins(_GIF))
    # Of a JPEG file in CMYK colours, with four components, it makes no grey.
    return tf.cond(
        begins(_JPEG),
        lambda: tf.io.extract_jpeg_shape(encoded)[2] != 4,
        lambda: ~(begins(_GIF) | begins(_BMP)),
    )
