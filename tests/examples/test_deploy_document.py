"""docs/deploy.md: what it shows is so."""

import json
import re
from pathlib import Path

import jsonschema
import pytest

from keras_rbcn import ImagePreprocessing
from keras_rbcn.bundle.metadata import Metadata

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "deploy.md").read_text("utf-8")


def test_its_metadata_are_those_of_a_bundle():
    (shown,) = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)
    shown = shown.replace("5d0c…", "5d0c" * 16)
    schema = json.loads((DOCS / "bundle_metadata.schema.json").read_text())
    jsonschema.validate(json.loads(shown), schema)
    metadata = Metadata.from_json(shown.encode(), "the document")
    assert json.loads(metadata.to_json()) == json.loads(shown)


def test_its_preprocessing_can_be_had():
    shown = re.findall(r"`(ImagePreprocessing[^`]*)`", TEXT)
    assert len(shown) == 4
    for expression in shown:
        made = eval(expression, {"ImagePreprocessing": ImagePreprocessing})
        assert isinstance(made, ImagePreprocessing)


@pytest.mark.parametrize(
    "path",
    [
        DOCS / "deploy.md",
        *(DOCS.parent / "examples").glob("*/README.md"),
    ],
    ids=lambda path: f"{path.parent.name}/{path.name}",
)
def test_its_links_lead_somewhere(path):
    links = re.findall(r"\]\(([^)#:]+)\)", path.read_text("utf-8"))
    assert links
    for link in links:
        assert (path.parent / link).exists(), link


def test_its_commands_are_those_of_the_program(run_help):
    for command, options in re.findall(
        r"keras-rbcn ([a-z]+)((?:[^`\n]|\\\n)*)", TEXT.replace("\\\n", " ")
    ):
        listed = run_help(command)
        for option in re.findall(r"--[\w-]+", options):
            assert option == "--help" or option in listed, (command, option)


@pytest.fixture
def run_help():
    """The help of a command."""
    from typer.main import get_command

    from keras_rbcn.cli.app import app

    commands = get_command(app).commands

    def options(command):
        assert command in commands
        return [name for p in commands[command].params for name in p.opts]

    return options
