"""How the kernels of a student become signs."""

from keras_rbcn.training.taps import rectified_layers


def kernel_quantizers(student):
    """The classes' names of the kernel quantizers of all rectified convolutions."""
    return {type(la.kernel_quantizer).__name__ for la in rectified_layers(student)}
