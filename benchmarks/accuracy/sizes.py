"""The sizes of the study: networks, their data and their budgets."""

from __future__ import annotations

from typing import NamedTuple


class Size(NamedTuple):
    """A network, its data and its budget.

    Attributes:
        repeats: How often an epoch goes through the images.
    """

    data: str
    pixels: int
    stem_strides: int
    stages: tuple[int, ...]
    blocks: int
    images: int
    batch: int
    teacher_epochs: int
    epochs: int
    repeats: int = 1


_FASHION = Size("fashion_mnist", 28, 2, (16, 32, 64), 2, 50_000, 128, 20, 10)
_CIFAR = Size("cifar10", 32, 1, (64, 64, 128, 256), 2, 45_000, 128, 100, 100)
SIZES = {
    "small": _FASHION,
    "large": _FASHION._replace(stages=(32, 64, 128)),
    "large_triple": _FASHION._replace(stages=(32, 64, 128), epochs=30),
    # Two, three and four times as long, with the teacher of the small networks.
    "double": _FASHION._replace(epochs=20),
    "triple": _FASHION._replace(epochs=30),
    "long": _FASHION._replace(epochs=40),
    # As many steps with few images, where networks learn by heart.
    "few": _FASHION._replace(images=2_000, repeats=25),
    # The paper's network and data, for those who have a GPU.
    "cifar10": _CIFAR,
    "cifar100": _CIFAR._replace(data="cifar100"),
    # The short version, for a first look: the same networks with half the depth.
    "digits": Size("digits", 8, 1, (16, 32, 64), 1, 1_100, 32, 30, 30),
    # To try the scripts, and in their test.
    "tiny": Size("digits", 8, 1, (4, 4, 8), 1, 256, 64, 2, 2),
}
