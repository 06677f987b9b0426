"""What the workers of a training send each other in a step: ResNet-18, by calculation.

Each worker has a gradient of every trained variable, and all need the sum. A ring
all-reduce of B bytes between N workers makes each send 2 (N - 1) / N * B. Of the
teacher nothing is sent; neither are activations or feature maps. Not a measurement: no
network was used.

    python benchmarks/all_reduce.py --output benchmarks/results/all_reduce.json
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from result_files import described, machine, markdown_table, write_results

import keras_rbcn as rbcn
from keras_rbcn._backend import keras

WORKERS = (8, 64)
GBIT_PER_SECOND = (10, 100)
SIZE = 224
CLASSES = 1000


def model_with(taps: Any) -> Any:
    build = rbcn.applications.ResNet18
    networks = [
        build(network=network, input_shape=(SIZE, SIZE, 3), classes=CLASSES)
        for network in ("rbcn", "full_precision")
    ]
    model = rbcn.RBCNModel(*networks, taps=taps, check_teacher=False)
    settings = rbcn.recipes.paper().settings.to_arguments()
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(), **settings)
    return model


def sent_parts(model: Any) -> dict[str, int]:
    """Bytes of the gradients by what they are of; and the losses, for the logs."""
    parts = {
        "kernels W": model.latent_kernels,
        "scales C": model.scales,
        "real layers": model.other_parameters,
        "discriminators": model._discriminator_variables(),
    }
    found = {name: _bytes(variables) for name, variables in parts.items()}
    # One number for each loss and each discriminator's accuracy.
    numbers = len(model._hidden.means) + len(model.discriminators)
    return {**found, "losses": 4 * numbers}


def _bytes(variables: list[Any]) -> int:
    return sum(
        variable.shape.num_elements() * variable.dtype.size for variable in variables
    )


def row(taps: Any) -> dict[str, Any]:
    model = model_with(taps)
    parts = sent_parts(model)
    total = sum(parts.values())
    return {
        "taps": "none" if taps == [] else f"{taps}: {len(model.taps)}",
        "parts": parts,
        "total": total,
        "sent": {str(n): 2 * (n - 1) / n * total for n in WORKERS},
    }


def markdown(result: dict[str, Any]) -> str:
    mib = 2**20
    names = list(result["rows"][0]["parts"])
    columns = ("taps", *names, "all", *(f"sent by each of {n}" for n in WORKERS))
    lines = [columns, ("---", *["---:"] * (len(columns) - 1))]
    for found in result["rows"]:
        sizes = [*found["parts"].values(), found["total"], *found["sent"].values()]
        lines.append((found["taps"], *(f"{size / mib:.3f}" for size in sizes)))
    times = [("workers", *(f"{rate} Gbit/s" for rate in GBIT_PER_SECOND))]
    times.append(("---:",) * len(times[0]))
    full = result["rows"][-1]["sent"]
    for n in WORKERS:
        seconds = [8 * full[str(n)] / (rate * 1e9) for rate in GBIT_PER_SECOND]
        times.append((f"{n}", *(f"{1000 * one:.1f} ms" for one in seconds)))
    return (
        "# What workers send each other in a training step of ResNet-18\n\n"
        f"Calculated by benchmarks/all_reduce.py on {described(result['machine'])}: "
        f"MiB, for {CLASSES} classes at {SIZE}x{SIZE}, in 32 bits. Each worker sends "
        "2 (N - 1) / N times all, in a ring. Nothing is sent of the teacher, and no "
        "feature maps. The batch does not matter.\n\n"
        + markdown_table(lines)
        + "\nHow long that takes at least, for the last line, on a network of so many "
        "gigabits per second in each direction:\n\n" + markdown_table(times)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    rows = [row(taps) for taps in ([], "stage", "convolution")]
    result = {"machine": machine(), "rows": rows}
    print(markdown(result))
    if arguments.output:
        write_results(arguments.output, result, markdown(result))


if __name__ == "__main__":
    main()
