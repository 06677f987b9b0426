"""The shape of the package: one road, whose parts import only from those before."""

import ast
import importlib
import pkgutil
import re
import subprocess
from pathlib import Path

import pytest

import keras_rbcn

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "keras_rbcn"
ROAD = [
    "_backend",
    "_checks",
    "_counting",
    "_figure",
    "_files",
    "_geometry",
    "_grey",
    "_report",
    "_samples",
    "losses",
    "layers",
    "discriminators",
    "conversion",
    "quantization",
    "applications",
    "training",
    "recipes",
    "callbacks",
    "signing",
    "tflite",
    "profiling",
    "export",
    "bundle",
    "device",
    "datasets",
    "cli",
    "__main__",
]


def _parts():
    """The subpackages and modules that exist."""
    return sorted(module.name for module in pkgutil.iter_modules([str(PACKAGE)]))


def _files(part):
    path = PACKAGE / part
    return sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]


def _imported_parts(file):
    """Which subpackages a file imports from, inside functions too."""
    names = []
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    inside = (name.split(".") for name in names)
    return {name[1] for name in inside if name[0] == "keras_rbcn" and len(name) > 1}


def test_every_part_lies_on_the_road():
    assert set(_parts()) <= set(ROAD)


@pytest.mark.parametrize("part", _parts())
def test_parts_import_only_from_those_before(part):
    # Data sets come late on the road, and yet know nothing of networks.
    alone = part == "datasets"
    before = ["_backend", "_files", "_grey"] if alone else ROAD[: ROAD.index(part)]
    allowed = {*before, part, "__version__"}
    for file in _files(part):
        assert _imported_parts(file) <= allowed, file


def _module_imports():
    """Each module of the package, and which others it imports when it is imported."""
    imports = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(file.relative_to(ROOT).with_suffix("").parts)
        found = set()
        for node in ast.parse(file.read_text("utf-8")).body:
            if isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module)
                found |= {f"{node.module}.{alias.name}" for alias in node.names}
            elif isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
        imports[name.removesuffix(".__init__")] = found
    return {name: found & set(imports) - {name} for name, found in imports.items()}


def test_no_module_imports_itself_by_way_of_others():
    imports = {
        # A package imports its modules; that they name it is how Python loads them.
        name: {other for other in found if not name.startswith(f"{other}.")}
        for name, found in _module_imports().items()
    }
    while leaves := {name for name, found in imports.items() if not found}:
        imports = {
            name: found - leaves
            for name, found in imports.items()
            if name not in leaves
        }
    assert not imports


# The command line offers commands, not names.
PUBLIC = ["", *(p for p in _parts() if not p.startswith("_") and p != "cli")]


@pytest.mark.parametrize("part", PUBLIC)
def test_public_names_exist(part):
    module = importlib.import_module(f"keras_rbcn.{part}".rstrip("."))
    names = module.__all__
    assert len(names) == len(set(names))
    assert all(hasattr(module, name) for name in names)
    private = [name for name in names if name.startswith("_") and name != "__version__"]
    assert not private


def test_only_the_backend_chooses_keras():
    for file in PACKAGE.rglob("*.py"):
        if file.name == "_backend.py":
            continue
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            names = [alias.name for alias in getattr(node, "names", [])]
            if isinstance(node, ast.Import):
                roots = {name.partition(".")[0] for name in names}
            elif isinstance(node, ast.ImportFrom):
                roots = {(node.module or "").partition(".")[0]}
            else:
                continue
            assert not roots & {"tensorflow", "keras", "tf_keras"}, file


def test_losses_know_no_keras_version():
    for file in _files("losses"):
        tree = ast.parse(file.read_text("utf-8"))
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        assert "keras" not in names, file


# Spelled in parts, so that this file does not match.
FORBIDDEN = re.compile(
    "|".join(
        [
            r"/(?:home|root|Users)/" + r"\w",
            "/" + "work/" + r"(?:main|shared)",
            "/tmp/" + r"\w",
            r"py" + r"pi\.(?:org|python\.org)",
            "files" + r"\.pythonhosted",
            "ana" + r"conda\.org",
        ]
    )
)


def test_no_file_names_a_machine_path_or_a_registry():
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    found = []
    for name in filter(None, listed.stdout.decode().split("\0")):
        content = (ROOT / name).read_bytes() if (ROOT / name).is_file() else b""
        if b"\0" not in content:  # Text.
            match = FORBIDDEN.search(content.decode("utf-8", errors="replace"))
            found += [f"{name}: {match[0]}"] if match else []
    assert not found


def test_version_is_that_of_the_distribution():
    assert re.fullmatch(r"\d+\.\d+\.\d+", keras_rbcn.__version__)
    assert f'version="{keras_rbcn.__version__}"' in (ROOT / "setup.py").read_text(
        "utf-8"
    )
