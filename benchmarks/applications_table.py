"""The networks of `keras_rbcn.applications`: parameters and memory of each.

Counted in the literature's convention: 32 bits per real parameter and 1 bit per binary
one; the moving statistics of batch normalisation are not counted.

    python benchmarks/applications_table.py --docs docs/applications.md \
        --output benchmarks/results/applications_table.json
"""

from __future__ import annotations

import argparse
import functools
import importlib.metadata
import operator
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from result_files import markdown_table, write_results

from keras_rbcn import applications
from keras_rbcn._counting import count_parameters

BUILDERS = {
    "resnet18": applications.ResNet18,
    "cifar_resnet18": applications.CifarResNet18,
    "wide_resnet22": applications.WideResNet22,
    "wide_resnet40": applications.WideResNet40,
}
# The full-precision one first: the others are compared with it.
NETWORKS = ("full_precision", "bcnn", "xnornet", "birealnet", "rbcn", "reactnet")
COLUMNS = (
    "architecture",
    "classes",
    "network",
    "binary parameters",
    "real parameters",
    "Mbit",
    "times smaller",
)
BEGIN, END = "<!-- table -->\n", "<!-- end of table -->\n"


def count(architecture: str, network: str) -> dict[str, Any]:
    model = BUILDERS[architecture](network=network)
    parameters = functools.reduce(operator.add, map(count_parameters, model.layers))
    return {
        "architecture": architecture,
        "classes": model.output_shape[-1],
        "network": network,
        "binary": parameters.binary,
        "real": parameters.real,
        "mbit": parameters.bits / 1e6,
    }


def rows_of(architecture: str) -> list[dict[str, Any]]:
    rows = [count(architecture, network) for network in NETWORKS]
    return [row | {"ratio": rows[0]["mbit"] / row["mbit"]} for row in rows]


def table(rows: list[dict[str, Any]]) -> str:
    lines = [COLUMNS, ("---", "---:", "---", *["---:"] * (len(COLUMNS) - 3))]
    lines += [
        (
            row["architecture"],
            f"{row['classes']}",
            row["network"],
            f"{row['binary']:,}",
            f"{row['real']:,}",
            f"{row['mbit']:.2f}",
            f"{row['ratio']:.2f}",
        )
        for row in rows
    ]
    return markdown_table(lines)


def with_table(text: str, table: str) -> str:
    """The document with another table between its two marks."""
    before, mark, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not mark or not end:
        raise ValueError(f"Expected the lines {BEGIN!r} and {END!r} in the document.")
    return before + mark + table + end + after


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path)
    parser.add_argument("--docs", type=Path, help="document whose table is replaced")
    arguments = parser.parse_args()
    rows = [row for architecture in BUILDERS for row in rows_of(architecture)]
    versions = {"keras-rbcn": importlib.metadata.version("keras-rbcn")}
    print(table(rows))
    if arguments.output:
        text = (
            "# The networks of keras_rbcn.applications\n\n"
            "Written by benchmarks/applications_table.py with keras-rbcn "
            f"{versions['keras-rbcn']}.\n\n{table(rows)}"
        )
        write_results(arguments.output, {"versions": versions, "rows": rows}, text)
    if arguments.docs:
        document = arguments.docs.read_text("utf-8")
        arguments.docs.write_text(with_table(document, table(rows)), "utf-8")


if __name__ == "__main__":
    main()
