"""A student whose tapped feature maps are pooled where they arise.

A discriminator looks at a feature map through a pooling, and is done long before the
student's backward pass comes to that map. Were the pooling in the discriminator, the
gradient of the whole map would be ready then, and lie in memory until it is needed: one
more map for each tap. Here the pooling belongs to the student, and its gradient is
spread to the map when the rest of the map's gradient is there to be added to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from keras_rbcn._backend import keras, tf
from keras_rbcn.training.taps import with_features


def with_pooled_features(
    model: Any,
    layer_names: Sequence[str],
    poolings: Sequence[Callable[..., Any] | None],
) -> Any:
    """A model of the same layers that also returns features of their outputs.

    Args:
        model: Functional or Sequential Keras model.
        layer_names: Names of its layers, each called once, with one output.
        poolings: For each a differentiable function of the output, without variables;
            None for the output itself.

    Returns:
        A Keras model from the inputs to `(outputs, [features, ...])`. It shares all
        layers and weights with `model`, which stays as it was.
    """
    view = with_features(model, layer_names)
    first = len(view.outputs) - len(layer_names)
    for number, (name, pooling) in enumerate(
        zip(layer_names, poolings, strict=True), first
    ):
        if pooling is None:
            continue
        node = model.get_layer(name).inbound_nodes[0]
        gated = _GatedNode(node, pooling)
        for nodes in view._nodes_by_depth.values():
            nodes[:] = [gated if one is node else one for one in nodes]
        view.outputs[number] = gated.features
        view._tensor_usage_count[str(id(gated.features))] = 1
    return view


class _GatedNode:
    """Stands for a node in a view of a model: the call of one of its layers.

    Keras' functional models run their nodes one by one, and hand on what each returns
    by the identity of the symbolic outputs. This one returns the features as well, as
    the symbolic tensor `features`.
    """

    def __init__(self, node: Any, pooling: Callable[..., Any]) -> None:
        self._node, self._pooling = node, pooling
        self.features = keras.Input((None,))  # Whatever it is: it is a name.

    def __getattr__(self, name: str) -> Any:
        return getattr(self._node, name)

    @property
    def flat_output_ids(self) -> list[str]:
        return [*self._node.flat_output_ids, str(id(self.features))]

    def layer(self, *args: Any, **kwargs: Any) -> list[Any]:
        return list(gate(self._node.layer(*args, **kwargs), self._pooling))


def gate(features: Any, pooling: Callable[..., Any]) -> tuple[Any, Any]:
    """A feature map and its pooled form, whose gradient waits for that of the map.

    Args:
        features: Float tensor.
        pooling: A differentiable function of it, without variables.

    Returns:
        `features`, for all that reads the map, and `pooling(features)`.
    """

    @tf.custom_gradient
    def gated(features: Any) -> Any:
        def gradient(of_map: Any, of_pooled: Any) -> Any:
            with tf.control_dependencies([of_map]):
                of_pooled = tf.identity(of_pooled)
            # Graphs drop this forward pass: no gradient of a pooling needs it.
            with tf.GradientTape() as tape:
                tape.watch(features)
                pooled = pooling(features)
            return of_map + tape.gradient(pooled, features, of_pooled)

        return (tf.identity(features), pooling(features)), gradient

    return gated(features)
