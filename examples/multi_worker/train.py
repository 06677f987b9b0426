"""Trains a 1-bit student on several machines, and exports it from the first.

The same program runs on each machine; the environment variable TF_CONFIG tells it
where the others are, and which of them it is. All machines must mount the folder, which
holds the checkpoints. If anything is killed, start the same commands again.

Two machines, with their own names in place of host0 and host1; on host0:

    export TF_CONFIG='{"cluster": {"worker": ["host0:12345", "host1:12345"]},
                       "task": {"type": "worker", "index": 0}}'
    python train.py /mnt/shared/digits

and on host1 the same with "index": 1. Two processes on one machine:

    for index in 0 1; do
      TF_CONFIG='{"cluster": {"worker": ["localhost:12345", "localhost:12346"]},
                  "task": {"type": "worker", "index": '$index'}}' \
        python train.py digits &
    done
    wait

A program that waits for good cannot reach another one: look at names, at ports that a
firewall closes, and at whether all of them run.
"""

import argparse
import json
import os
import sys
from pathlib import Path

import keras_rbcn as rbcn  # First: it makes TensorFlow use Keras 2.

# isort: split
import tensorflow as tf
import tf_keras as keras


def parse(arguments):
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="on a disk that all machines mount")
    parser.add_argument("--epochs", type=int, default=20, help="of teacher and student")
    parser.add_argument(
        "--batch-size", type=int, default=64, help="of all machines together"
    )
    parser.add_argument("--save-every", type=int, default=10, help="steps")
    return parser.parse_args(arguments)


def check_cluster():
    """Says what is wrong with TF_CONFIG, before TensorFlow waits for other machines."""
    expected = (
        "Expected the environment variable TF_CONFIG to be like "
        '{"cluster": {"worker": ["host0:12345", "host1:12345"]}, '
        '"task": {"type": "worker", "index": 0}}, with another index on each machine'
    )
    text = os.environ.get("TF_CONFIG")
    if not text:
        sys.exit(f"{expected}; it is not set.")
    try:
        config = json.loads(text)
        workers = config["cluster"]["worker"]
        index = config["task"]["index"]
        is_worker = config["task"]["type"] == "worker"
    except (ValueError, KeyError, TypeError) as error:
        sys.exit(f"{expected}, received: TF_CONFIG={text} ({error!r}).")
    if not is_worker or index not in range(len(workers)):
        sys.exit(
            f"{expected}, from 0 to {len(workers) - 1}, received: "
            f"task={config['task']}."
        )
    print(f"Worker {index} waits for all of {workers}.", flush=True)


def network():
    """A small residual network, in full precision."""
    layers = keras.layers
    inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(32, 3, padding="same", use_bias=False, name="first")(inputs)
    x = layers.BatchNormalization(momentum=0.9, name="first_norm")(x)
    for block in ("block1", "block2"):
        shortcut = x
        x = layers.Conv2D(32, 3, padding="same", use_bias=False, name=block)(x)
        x = layers.BatchNormalization(momentum=0.9, name=f"{block}_norm")(x)
        x = layers.Add(name=f"{block}_add")([shortcut, x])
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(10, name="logits")(x))


def batches(data, batch_size):
    """Batches for all workers together, of which each draws its share.

    All have the same data and divide the samples. Where each machine has files of its
    own to read, FILE divides these.
    """
    options = tf.data.Options()
    policy = tf.data.experimental.AutoShardPolicy.DATA
    options.experimental_distribute.auto_shard_policy = policy
    pipeline = tf.data.Dataset.from_tensor_slices(tuple(data))
    pipeline = pipeline.shuffle(len(data.y), seed=0)
    # The last batch may be too small to be divided.
    return pipeline.batch(batch_size, drop_remainder=True).with_options(options)


def fit(model, name, data, options):
    """Trains for the epochs that are left; a training that has ended only loads."""
    return model.fit(
        batches(data, options.batch_size),
        epochs=options.epochs,
        callbacks=[
            rbcn.callbacks.ResumableTraining(
                options.folder / f"{name}_checkpoints", options.save_every
            )
        ],
        verbose=2 if is_chief(model.distribute_strategy) else 0,
    )


def train(strategy, options):
    """Trains a teacher, and by it a student; returns the RBCNModel."""
    keras.utils.set_random_seed(0)  # The same on all workers.
    data, _ = rbcn.datasets.digits()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    with strategy.scope():
        teacher = network()
        teacher.compile(keras.optimizers.Adam(0.003), loss, metrics=["accuracy"])
    fit(teacher, "teacher", data, options)
    with strategy.scope():
        model = rbcn.RBCNModel(rbcn.binarize(teacher), teacher)
        model.compile(keras.optimizers.Adam(0.003), loss, metrics=["accuracy"])
    fit(model, "student", data, options)
    return model


def is_chief(strategy):
    """Whether this is the worker whose files are kept."""
    return strategy.cluster_resolver.task_id == 0


def export(model, folder):
    """Saves on all workers, and exports what the chief has saved."""
    index = model.distribute_strategy.cluster_resolver.task_id
    path = folder / (f"worker{index}.keras" if index else "trained.keras")
    # Statistics are summed up over the workers when they are read: all must save.
    model.save(path)
    if index:
        path.unlink()
        return
    _, test = rbcn.datasets.digits()
    trained = keras.models.load_model(path)
    loss, accuracy = trained.evaluate(*test, verbose=0)
    print(f"Test loss {loss:.3f}, accuracy {accuracy:.3f}.")
    report = rbcn.export_tflite(trained, folder / "student.tflite", verify_data=test.x)
    print(report)


def main(arguments=None):
    """Trains and exports; returns the RBCNModel."""
    options = parse(arguments)
    check_cluster()
    # First: TensorFlow connects the machines only before it is used.
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    replicas = strategy.num_replicas_in_sync
    if options.batch_size < replicas:
        sys.exit(
            f"Expected --batch-size to be at least {replicas}, one image for each "
            f"replica, received: --batch-size {options.batch_size}."
        )
    model = train(strategy, options)
    export(model, options.folder)
    return model


if __name__ == "__main__":
    main()
