"""What the benchmarks have in common: where they ran, and where results go."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def write_results(path: Path, result: dict[str, Any], text: str) -> None:
    """Writes a result as JSON, and what is to be read of it as Markdown beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n")
    path.with_suffix(".md").write_text(text)


def measured_apart(script: str, *arguments: str) -> Any:
    """What a script prints last, as JSON, in a process whose memory goes with it."""
    command = [sys.executable, script, *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def machine() -> dict[str, Any]:
    """The machine and the versions that a result was measured on."""
    packages = ("tensorflow", "tf-keras", "larq", "keras-rbcn", "numpy")
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    return {
        "processor": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in packages},
    }


def described(machine: dict[str, Any]) -> str:
    """The machine in words."""
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['system']}, "
        f"Python {machine['python']}, {versions(machine)}"
    )


def versions(machine: dict[str, Any]) -> str:
    """The versions in words."""
    return ", ".join(f"{k} {v}" for k, v in machine["versions"].items())


def markdown_table(lines: Iterable[tuple[str, ...]]) -> str:
    """Lines of a Markdown table, the header and the one below it included."""
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
