"""ResNet-18 in the form for ImageNet, of plain Keras layers, and its 1-bit student.

Independent of keras_rbcn.applications: the profiler is not to be tested on what it is
used to test.
"""

from keras_rbcn._backend import keras
from keras_rbcn.layers import RectifiedConv2D

STAGES = (64, 128, 256, 512)


def full_precision(size=224, stages=STAGES, classes=1000):
    def convolution(filters, strides):
        return keras.layers.Conv2D(filters, 3, strides, padding="same", use_bias=False)

    return _resnet18(convolution, size, stages, classes, "full_precision")


def one_bit(size=224, stages=STAGES, classes=1000):
    """The same with 1-bit convolutions in the blocks."""

    def convolution(filters, strides):
        return RectifiedConv2D(filters, 3, strides, padding="same")

    return _resnet18(convolution, size, stages, classes, "one_bit")


def _resnet18(convolution, size, stages, classes, name):
    layers = keras.layers
    inputs = keras.Input((size, size, 3))
    x = layers.Conv2D(stages[0], 7, 2, padding="same", use_bias=False)(inputs)
    x = layers.BatchNormalization()(x)
    x = layers.MaxPooling2D(3, 2, padding="same")(x)
    for stage, filters in enumerate(stages):
        for block in range(2):
            strides = 2 if stage and not block else 1
            shortcut = x
            if strides == 2:
                shortcut = layers.Conv2D(filters, 1, 2, use_bias=False)(shortcut)
                shortcut = layers.BatchNormalization()(shortcut)
            x = layers.BatchNormalization()(convolution(filters, strides)(x))
            x = layers.BatchNormalization()(convolution(filters, 1)(x))
            x = layers.add([x, shortcut])
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(classes)(x), name=name)
