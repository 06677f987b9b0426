"""The processes that train one model together, and what they tell each other."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from keras_rbcn._backend import tf


class Workers:
    """The workers of a strategy; without several machines this process alone.

    Args:
        strategy: What the model is distributed by.

    Attributes:
        count: How many processes there are.
        index: Which of them this one is, from 0.
    """

    def __init__(self, strategy: Any) -> None:
        place = strategy.experimental_distribute_values_from_function(
            lambda context: context.replica_id_in_sync_group
        )
        replicas = strategy.experimental_local_results(place)
        self._local = len(replicas)
        self.count = int(strategy.num_replicas_in_sync) // self._local
        self.index = int(replicas[0]) // self._local
        self._gather_all = _gather_all(strategy)

    @property
    def is_chief(self) -> bool:
        """Whether this is the one whose files count."""
        return self.index == 0

    def gather(self, value: Any) -> list[Any]:
        """What each worker passes, in their order. All of them must call it.

        Args:
            value: Plain value for JSON.
        """
        if self.count == 1:
            return [value]
        data = json.dumps(value).encode()
        # As numbers of 8 bytes behind their count, since no strings can be sent. Not
        # of 4: those lie in the host's memory, where a GPU's collectives cannot go.
        padded = data.ljust(-(-len(data) // 8) * 8)
        sent = np.concatenate(
            [[len(padded) // 8], np.frombuffer(padded, np.int64)], dtype=np.int64
        )
        received = self._gather_all(sent).numpy()
        values = []
        while len(received):
            end = 1 + received[0]
            values.append(json.loads(received[1:end].tobytes()))
            received = received[end:]
        return values[:: self._local]

    def of_chief(self, value: Any) -> Any:
        """What the chief passes. All workers must call it."""
        return self.gather(value if self.is_chief else None)[0]


def _gather_all(strategy: Any) -> Any:
    """A function from each worker's numbers to those of all replicas in a row."""

    # Of one signature: workers that do not trace alike wait for each other for ever.
    @tf.function(input_signature=[tf.TensorSpec([None], tf.int64)])
    def gather_all(sent: Any) -> Any:
        def of_replica(own: Any) -> Any:
            own = tf.identity(own)  # On the replica's device, where it is sent from.
            return tf.distribute.get_replica_context().all_gather(own, axis=0)

        received = strategy.run(of_replica, args=(sent,))
        return strategy.experimental_local_results(received)[0]

    return gather_all
