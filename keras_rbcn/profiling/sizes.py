"""Sizes of a .tflite file's tensors, for one sample."""

from __future__ import annotations

import math

from keras_rbcn.tflite.flatbuffer import Graph, Operator

Shape = tuple[int, ...]
_RESHAPING = frozenset({"EXPAND_DIMS", "RESHAPE", "SQUEEZE"})
_REARRANGING = _RESHAPING | {"TRANSPOSE"}
_BLOCKS = frozenset({"SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND"})
_IN_WORDS = frozenset({"LceQuantize", "LceBconv2d", "LceBMaxPool2d"})


class UnknownSizeError(Exception):
    """A size that depends on the data, or on the batch, in a way not seen through."""


class Sizes:
    """Shapes of the tensors of a graph.

    A file may leave its batch open, and has a 1 for it in every shape. Where operators
    join the batch with another axis, as in front of a layer that is applied to every
    step of a sequence, the size is found from the number of elements.
    """

    def __init__(self, graph: Graph) -> None:
        self._tensors = graph.tensors
        self._operators = graph.operators
        self._shapes: dict[int, Shape] = {}
        self._elements: dict[int, int] = {}
        self._channels: dict[int, int] = {}
        for index, tensor in enumerate(graph.tensors):
            if not tensor.dynamic or (index in graph.inputs and tensor.dynamic == (0,)):
                self._note(index, tensor.shape)
        for operator in graph.operators:
            for index in operator.outputs:
                if index not in self._shapes:
                    self._find(operator, index)
            if operator.name in _IN_WORDS:
                self._note_channels(operator)

    def of(self, index: int) -> Shape:
        """The tensor's shape.

        Raises:
            UnknownSizeError: If it is not in the file.
        """
        if index not in self._shapes:
            raise UnknownSizeError
        return self._shapes[index]

    def unpacked(self, index: int) -> Shape | None:
        """The same, with the channels that 32-bit integers hold bit by bit.

        None if it is not in the file.
        """
        shape = self._shapes.get(index)
        if shape is None or index not in self._channels:
            return shape
        return (*shape[:-1], self._channels[index])

    def undilated(self, operator: Operator) -> Shape:
        """Shape of the output of a convolution.

        A dilated one may be computed on interleaved parts of its input, some of which
        need padding: what is cropped again does not belong to it.

        Raises:
            UnknownSizeError: If it is not in the file.
        """
        whole, parts = operator.outputs[0], operator.inputs[0]
        before = self._writer(parts)
        if before is not None and before.name in _RESHAPING:
            before = self._writer(before.inputs[0])
        if before is not None and before.name == "SPACE_TO_BATCH_ND":
            whole = self._put_together(whole)
        return self.of(whole)

    def _put_together(self, index: int) -> int:
        for reader in self._readers(index):
            if reader.name == "BATCH_TO_SPACE_ND":
                return reader.outputs[0]
            if reader.name in _RESHAPING:
                for behind in self._readers(reader.outputs[0]):
                    if behind.name == "BATCH_TO_SPACE_ND":
                        return behind.outputs[0]
        return index

    def _writer(self, index: int) -> Operator | None:
        found = (other for other in self._operators if index in other.outputs)
        return next(found, None)

    def _readers(self, index: int) -> list[Operator]:
        return [other for other in self._operators if index in other.inputs]

    def _note(self, index: int, shape: Shape) -> None:
        self._shapes[index] = shape
        self._elements[index] = math.prod(shape)

    def _find(self, operator: Operator, index: int) -> None:
        """Finds the size of an axis that the file leaves open."""
        shape, (axis, *more) = self._tensors[index].shape, self._tensors[index].dynamic
        elements = self._elements_of(operator)
        size: int | None
        if elements is not None:
            self._elements[index] = elements
            size = elements // max(math.prod(shape), 1)
        else:
            sources = [
                source
                for source in operator.inputs
                if source >= 0 and self._tensors[source].dynamic
            ]
            if axis or not sources or not self._shapes.keys() >= set(sources):
                return
            size = max(self._shapes[source][0] for source in sources)
            if operator.name in _BLOCKS:
                size = self._with_blocks(operator, size)
        if not more and size is not None:
            self._note(index, (*shape[:axis], size, *shape[axis + 1 :]))

    def _with_blocks(self, operator: Operator, batch: int) -> int | None:
        """The batch, of which each sample is taken into parts or put together."""
        blocks = self._tensors[operator.inputs[1]]
        if blocks.data is None:
            return None
        parts = max(math.prod(blocks.value.tolist()), 1)
        if operator.name == "SPACE_TO_BATCH_ND":
            return batch * parts
        return batch // parts

    def _elements_of(self, operator: Operator) -> int | None:
        """Elements of the output, where they follow from those of the input."""
        if not operator.inputs or operator.inputs[0] not in self._elements:
            return None
        elements = self._elements[operator.inputs[0]]
        if operator.name in _REARRANGING:
            return elements
        if operator.name == "FULLY_CONNECTED":
            outputs, inputs = self._tensors[operator.inputs[1]].shape
            return elements // max(inputs, 1) * outputs
        return None

    def _note_channels(self, operator: Operator) -> None:
        source, target = operator.inputs[0], operator.outputs[0]
        if operator.name == "LceQuantize":
            self._channels[target] = self._tensors[source].shape[-1]
        elif operator.name == "LceBMaxPool2d" and source in self._channels:
            self._channels[target] = self._channels[source]
        elif operator.name == "LceBconv2d" and self._tensors[target].dtype == "int32":
            self._channels[target] = self._tensors[operator.inputs[1]].shape[0]
