"""What of a .tflite file nothing uses."""

from keras_rbcn.tflite.flatbuffer import parse


def unused_tensors(content):
    """Indices of the tensors that nothing reads or writes."""
    graph = parse(content)
    used = {*graph.inputs, *graph.outputs}
    for operator in graph.operators:
        used.update(operator.inputs, operator.outputs)
    return set(range(len(graph.tensors))) - used
