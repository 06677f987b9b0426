"""Settings in a YAML or TOML file: read as defaults of the options, and written."""

from __future__ import annotations

import dataclasses
import difflib
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer
import yaml

from keras_rbcn.cli.errors import UserError
from keras_rbcn.cli.files import check_input
from keras_rbcn.cli.train.data import NAMED

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_HEADER = """\
# Settings of a training by keras-rbcn. To repeat it:
#     keras-rbcn train --config {name} --output FOLDER
"""


def load_config(context: typer.Context, path: Path | None) -> Path | None:
    """Makes the settings of a file the defaults of the other options.

    Args:
        context: Of the command, whose options are not yet processed.
        path: The file, or None.

    Raises:
        UserError: If the file cannot be read, or holds an unknown setting or one of
            the wrong type; names the file and the setting.
    """
    if path is None:
        return None
    options = {option.name: option for option in context.command.params}
    known = [name for name in options if name != "config"]
    defaults = {}
    for name, value in _read(path).items():
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            hint = (
                f"did you mean '{near[0]}'?" if near else f"the settings are {known}."
            )
            raise UserError(f"unknown setting '{name}' in '{path}': {hint}")
        if value is None:  # As if it were not there.
            continue
        try:
            defaults[name] = _as_typed(value, options[name])
            options[name].process_value(context, defaults[name])
        except typer.BadParameter as error:
            raise UserError(
                f"wrong value of '{name}' in '{path}', {value!r}: {error.message}"
            ) from error
    context.default_map = defaults
    return path


def to_yaml(settings: Any, name: str) -> str:
    """The settings as the text of a file that `load_config` reads.

    Args:
        settings: `RunSettings`.
        name: Of the file.
    """
    values = to_values(settings)
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
    return _HEADER.format(name=name) + text


def to_values(settings: Any) -> dict[str, Any]:
    """The settings as plain values, by the names of their options.

    Paths become absolute, so that they mean the same in every folder. Left out is what
    must not be repeated, the folder for the results.

    Args:
        settings: `RunSettings`.
    """
    values = {}
    for key, value in dataclasses.asdict(settings).items():
        if value is None or key in ("output", "overwrite"):
            continue
        if isinstance(value, Path) or (key == "data" and value not in NAMED):
            value = str(Path(value).absolute())
        values[key] = list(value) if isinstance(value, tuple) else value
    return values


class _Loader(yaml.BaseLoader):
    """Leaves every value but null a text, for the options' own types to read.

    YAML's own types would turn `1e-4` into a text and `no` into a truth value.
    """

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys = [key.value for key, _ in node.value]
        twice = [key for key in keys if keys.count(key) > 1]
        if twice:
            raise yaml.constructor.ConstructorError(
                None, None, f"found {twice[0]!r} twice", node.start_mark
            )
        return super().construct_mapping(node, deep)


_NULL = "tag:yaml.org,2002:null"
_Loader.add_implicit_resolver(
    _NULL, re.compile(r"(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""]
)
_Loader.add_constructor(_NULL, lambda loader, node: None)


def _read(path: Path) -> Mapping[str, Any]:
    check_input(path)
    if path.suffix not in (".yaml", ".yml", ".toml"):
        raise UserError(
            f"expected settings in a .yaml or .toml file, received '{path}'."
        )
    try:
        text = path.read_text("utf-8")
        if path.suffix == ".toml":
            return tomllib.loads(text)
        content = yaml.load(text, _Loader)
    # ValueError is TOML's, and that of a file that is no UTF-8.
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"cannot read the settings in '{path}': {error}") from error
    if content is None:  # An empty file.
        return {}
    if not isinstance(content, dict):
        raise UserError(
            f"expected '{path}' to hold settings as lines like 'epochs: 10', received "
            f"a {type(content).__name__}."
        )
    return content


def _as_typed(value: Any, option: Any) -> Any:
    """A value as it would be typed on the command line: a text, or several."""
    several = option.multiple or option.nargs != 1
    if not isinstance(value, list):
        value, single = [value], True
    else:
        single = False
    if single == several or any(isinstance(one, dict | list) for one in value):
        kind = "a list of values" if several else "one value"
        raise typer.BadParameter(f"expected {kind}.")
    texts = [str(one) for one in value]
    return texts[0] if single else texts
