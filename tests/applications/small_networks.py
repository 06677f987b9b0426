"""Small networks of every kind, for the tests of the applications."""

import functools

from keras_rbcn import applications

ARCHITECTURES = {
    "resnet18": applications.ResNet18,
    "cifar_resnet18": applications.CifarResNet18,
    "wide_resnet22": applications.WideResNet22,
    "wide_resnet40": applications.WideResNet40,
}
BASELINES = {
    "bcnn": applications.BCNN,
    "xnornet": applications.XNORNet,
    "birealnet": applications.BiRealNet,
    "rbcn": applications.RBCN,
    "reactnet": applications.ReActNet,
}
NETWORKS = ("full_precision", *BASELINES)
RECTIFIED = ("rbcn", "reactnet")

SHAPE = (8, 8, 3)
STAGES = (6, 6, 8, 10)
CLASSES = 5


def small(network, **kwargs):
    """A WideResNet-22 of few kernels on images of 8x8."""
    arguments = {"input_shape": SHAPE, "stages": STAGES, "classes": CLASSES, **kwargs}
    return applications.WideResNet22(network=network, **arguments)


# At these sizes all stages keep a map of two pixels or more.
SIZES = {
    "resnet18": 64,
    "cifar_resnet18": 16,
    "wide_resnet22": 8,
    "wide_resnet40": 8,
}


@functools.cache
def built(architecture, network):
    """Each network with its own kernels, built once, since that takes the most time.

    Tests may overwrite its weights, and must not rely on them.
    """
    size = SIZES[architecture]
    return ARCHITECTURES[architecture](input_shape=(size, size, 3), network=network)


@functools.cache
def built_small(network):
    """The same for `small`."""
    return small(network)
