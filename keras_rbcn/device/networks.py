"""Whether the files of a benchmark can be of one network."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from keras_rbcn.tflite.flatbuffer import Graph, InvalidModelError, parse

Shapes = list[tuple[int, ...]]


@dataclass(frozen=True)
class NetworkFile:
    """What a .tflite file says of its network.

    Attributes:
        bytes: The size of the file.
        inputs: The shapes of its inputs, sorted: converters order them differently.
        outputs: Those of its outputs, likewise.
    """

    bytes: int
    inputs: Shapes
    outputs: Shapes


def read_network(path: Path) -> NetworkFile:
    """Reads what a .tflite file says of its network.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is no .tflite file, or damaged.
    """
    content = path.read_bytes()
    try:
        graph = parse(content)
    except InvalidModelError as error:
        raise ValueError(
            f"Expected a .tflite model, but file '{path}' {error}"
        ) from None
    return NetworkFile(
        len(content), _shapes(graph, graph.inputs), _shapes(graph, graph.outputs)
    )


def _shapes(graph: Graph, indices: tuple[int, ...]) -> Shapes:
    return sorted(graph.tensors[index].shape for index in indices)


def check_comparable(networks: Mapping[str, NetworkFile]) -> None:
    """Checks that files take the same inputs; warns unless they give the same outputs.

    Args:
        networks: The files by the names that the report gives them.

    Raises:
        ValueError: If one takes inputs of other shapes than the first.
    """
    first, *others = networks
    for name in others:
        if networks[name].inputs != networks[first].inputs:
            raise ValueError(
                "Expected files of one network, which take inputs of the same shapes, "
                f"received: {_told(first, networks[first].inputs)}, "
                f"{_told(name, networks[name].inputs)}. Their times cannot be "
                "compared: export them with the same input shape, or measure them one "
                "by one."
            )
        if networks[name].outputs != networks[first].outputs:
            warnings.warn(
                "The files give outputs of different shapes, as if they were of "
                f"different networks: {_told(first, networks[first].outputs)}, "
                f"{_told(name, networks[name].outputs)}. Their times are compared all "
                "the same.",
                stacklevel=3,
            )


def _told(name: str, shapes: Shapes) -> str:
    return f"'{name}' with {', '.join(map(str, shapes))}"
