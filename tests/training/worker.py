"""One worker of a training on several machines; run by test_workers.py."""

import json
import os
import sys
from pathlib import Path

import numpy as np
from tiny import RBCN, synchronized

import keras_rbcn as rbcn
from keras_rbcn._backend import keras, tf


def main(folder):
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    with strategy.scope():
        student, teacher = (
            synchronized(keras.models.load_model(folder / f"{name}.keras"))
            for name in ("student", "teacher")
        )
        discriminators = [
            keras.models.load_model(folder / f"discriminator{index}.keras")
            for index in range(2)
        ]
        model = rbcn.RBCNModel(student, teacher, discriminators=discriminators)
        model.compile(**settings())
    with np.load(folder / "data.npz") as data:
        x, y = data["x"], data["y"]
    options = tf.data.Options()
    policy = tf.data.experimental.AutoShardPolicy.DATA
    options.experimental_distribute.auto_shard_policy = policy
    batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(16)
    history = model.fit(batches.with_options(options), epochs=2, verbose=0).history
    task = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
    (folder / f"history{task}.json").write_text(json.dumps(history))
    # Statistics are summed up over the workers when they are read: all must save.
    path = folder / ("trained.keras" if task == 0 else "not_the_chiefs.keras")
    model.save(path)
    if task == 0:  # The chief.
        trained = keras.models.load_model(path)
        report = rbcn.export_tflite(trained, folder / "student.tflite", verify_data=x)
        assert report.operator_counts["LceBconv2d"] == 2


def settings():
    optimizers = keras.optimizers
    return {
        "optimizer": optimizers.Adam(0.01, epsilon=0.1),
        "loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        "scale_optimizer": optimizers.SGD(0.01),
        "discriminator_optimizer": optimizers.SGD(0.002),
        "strategy_b_optimizer": optimizers.SGD(0.02),
        "strategy_b_every": 2,
        **RBCN,
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]))
