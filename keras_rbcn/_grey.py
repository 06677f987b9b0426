"""What red, green and blue are in grey."""

from __future__ import annotations

from typing import Any

from keras_rbcn._backend import tf

# Of red, green and blue, in thousandths, as in JPEG.
_WEIGHTS = (299, 587, 114)


def grey(colours: Any) -> Any:
    """Colours as grey, in integers, which round alike in every language.

    The sample apps do the same in theirs.

    Args:
        colours: uint8 of shape `(..., 3)`: red, green and blue.

    Returns:
        uint8 of shape `(..., 1)`.

    Example:
        >>> grey(np.array([[255, 255, 255], [255, 0, 0]], "uint8")).numpy().tolist()
        [[255], [76]]
    """
    weighted = tf.cast(colours, tf.int32) * tf.constant(_WEIGHTS)
    return tf.cast((tf.reduce_sum(weighted, -1, True) + 500) // 1000, tf.uint8)
