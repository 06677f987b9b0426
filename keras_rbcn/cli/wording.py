"""What the library says of its arguments, in the words of the command line.

The library's messages name arguments as Python does: `overwrite`, overwrite=True. Here,
at the edge, these become the options of the command that runs, as far as it has them.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import Any

# Of the command that runs, as typer has them.
command_parameters: ContextVar[Sequence[Any]] = ContextVar(
    "command_parameters", default=()
)
# Arguments whose options have other names.
_OPTIONS = {
    "decryption_key": ("key",),
    "password": ("password_env", "password_file"),
    "preprocessing": ("rescale",),
}
# What the command that runs lacks and another one has.
_COMMANDS = {
    "TFLiteModel": "keras-rbcn predict",
    "decryption_key": "--key of keras-rbcn decrypt",
    "export_bundle": "keras-rbcn bundle",
    "model.predict": "keras-rbcn predict",
    "preprocessing": "--rescale of keras-rbcn bundle",
}
_NAME = re.compile(r"`([\w.]+)`")
_VALUE = re.compile(
    r"""(?<!\S)([a-z_]\w*)=('[^']*'|"[^"]*"|[-+\w]+(?:\.\w+)*)(?![\w(\[])"""
)


def in_options(message: str, parameters: Sequence[Any]) -> str:
    """The message, with arguments of Python as options.

    Args:
        message: What the library says.
        parameters: Those of the command that runs, as typer has them.

    Example:
        >>> import typer
        >>> app = typer.Typer()
        >>> @app.command()
        ... def write(folder: str, overwrite: bool = False): ...
        >>> command = typer.main.get_command(app)
        >>> in_options("`folder` is not empty: pass overwrite=True.", command.params)
        'FOLDER is not empty: pass --overwrite.'
    """
    known = {parameter.name: parameter for parameter in parameters}

    def name(match: re.Match[str]) -> str:
        return _named(match[1], known) or _COMMANDS.get(match[1], match[0])

    def value(match: re.Match[str]) -> str:
        return _with_value(match[1], match[2], known) or match[0]

    return _VALUE.sub(value, _NAME.sub(name, message))


def _named(argument: str, known: Mapping[str, Any]) -> str:
    """The options that stand for an argument; empty if there are none."""
    names = [name for name in _OPTIONS.get(argument, (argument,)) if name in known]
    return " or ".join(_option(known[name]) for name in names)


def _option(parameter: Any) -> str:
    option = str(parameter.opts[0])
    if option.startswith("-"):
        return option
    return str(parameter.metavar or option.upper())


def _with_value(argument: str, value: str, known: Mapping[str, Any]) -> str:
    """An option with its value, as it is typed; empty if there is none."""
    option = _named(argument, known)
    if not option:
        return ""
    if value == "None":
        return f"no {option}"
    if not option.startswith("-"):  # What is typed by its place has no name.
        return value
    if value in ("True", "False"):
        return option if value == "True" else f"no {option}"
    plain = value[1:-1] if value[0] in "'\"" else value
    return f"{option} {shlex.quote(plain)}"
