"""Names, order and checksum of an exported file."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import flatbuffers
import numpy as np
from larq_compute_engine.mlir.python import tflite_schema as schema

from keras_rbcn.tflite.flatbuffer import FILE_IDENTIFIER, InvalidModelError, to_text

# The name under which an exported file carries its checksum, and what stands before
# the digest. The digest is that of the file with zeros in the digest's place.
CHECKSUM_NAME = b"keras_rbcn"
_PREFIX = b"keras_rbcn sha256:"
_UNSET = b"0" * 64


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


def check_checksum(content: bytes) -> bool:
    """Whether the bytes are those that keras_rbcn wrote.

    Returns:
        False for a file that carries no checksum.

    Raises:
        InvalidModelError: If the file carries a checksum that does not match.
    """
    start = content.find(_PREFIX)
    if start < 0:
        return False
    start += len(_PREFIX)
    end = start + len(_UNSET)
    if _digest(content[:start] + _UNSET + content[end:]) != content[start:end]:
        raise InvalidModelError(
            "is truncated or corrupted: its checksum does not match its contents. Copy "
            "the file again, or export it again."
        )
    return True


class _AlignedBufferT(schema.BufferT):
    """A buffer that packs its data at the 16 bytes that the kernels expect.

    flatbuffers' generated Python code forgets the schema's `force_align`.
    """

    def Pack(self, builder: Any) -> Any:  # noqa: N802
        vector = None
        if self.data is not None:
            data = bytes(bytearray(self.data))
            builder.StartVector(1, len(data), 16)
            builder.head -= len(data)
            builder.Bytes[builder.head : builder.head + len(data)] = data
            vector = builder.EndVector()
        schema.BufferStart(builder)
        if vector is not None:
            schema.BufferAddData(builder, vector)
        return schema.BufferEnd(builder)


def finish(content: bytes, input_names: list[str], output_names: list[str]) -> bytes:
    """Gives a converted model its names, their order, and a checksum.

    The converter orders the inputs and outputs as a hash table does. Here they get the
    order and the names that they have in Keras.

    Args:
        content: What the converter returned for a signature whose inputs are called
            "input_0", "input_1", ..., and outputs "output_0", ...
        input_names: What Keras calls them.
        output_names: What Keras calls them.

    Returns:
        The bytes of the file.
    """
    model = unpack(content)
    subgraph, signature = model.subgraphs[0], model.signatureDefs[0]
    for kind, names in (("input", input_names), ("output", output_names)):
        found = {to_text(item.name): item for item in getattr(signature, f"{kind}s")}
        ordered = [found[f"{kind}_{number}"] for number in range(len(names))]
        for item, name in zip(ordered, names, strict=True):
            item.name = name.encode()
        setattr(signature, f"{kind}s", ordered)
        setattr(subgraph, f"{kind}s", [item.tensorIndex for item in ordered])
    for tensor in subgraph.tensors:
        # The converter lists all that it folded into a tensor, and cuts the list off.
        # The first is enough to recognise the layer.
        tensor.name = tensor.name.partition(b";")[0]
    metadata = schema.MetadataT()
    metadata.name = CHECKSUM_NAME
    metadata.buffer = len(model.buffers)
    model.metadata = [*(model.metadata or ()), metadata]
    checksum = schema.BufferT()
    checksum.data = np.frombuffer(_PREFIX + _UNSET, np.uint8)
    model.buffers.append(checksum)
    packed = pack(model, len(content))
    return packed.replace(_PREFIX + _UNSET, _PREFIX + _digest(packed))


def with_outputs(content: bytes, tensors: Sequence[int]) -> bytes:
    """The same model with more outputs, behind its own; its checksum no longer holds.

    Args:
        content: The bytes of a file.
        tensors: Indices of tensors that operators of the main graph compute.
    """
    model = unpack(content)
    subgraph = model.subgraphs[0]
    subgraph.outputs = [*subgraph.outputs, *tensors]
    return pack(model, len(content))


def unpack(content: bytes) -> Any:
    """The objects of a valid file, to be changed and packed again."""
    return schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))


def pack(model: Any, size: int) -> bytes:
    """The bytes of a file.

    Args:
        model: What `unpack` returned.
        size: About how many bytes it will be.
    """
    for buffer in model.buffers:
        buffer.__class__ = _AlignedBufferT
    builder = flatbuffers.Builder(size + 4096)
    builder.Finish(model.Pack(builder), file_identifier=FILE_IDENTIFIER)
    return bytes(builder.Output())
