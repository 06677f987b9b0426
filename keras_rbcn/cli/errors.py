"""What a user did wrong, in one line."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence

import typer

from keras_rbcn.cli.wording import command_parameters, in_options
from keras_rbcn.export import ExportError

# The exit code where nothing is wrong with what the user typed, and yet it failed.
FAILED = 1


class UserError(Exception):
    """Ends the command with one line, details below it, and an exit code."""

    def __init__(
        self, message: str, details: Sequence[str] = (), exit_code: int = 2
    ) -> None:
        super().__init__(one_line(message))
        self.details = [one_line(detail) for detail in details]
        self.exit_code = exit_code


def one_line(message: object) -> str:
    """The message without its line breaks."""
    return " ".join(str(message).split())


@contextlib.contextmanager
def user_errors() -> Iterator[None]:
    """Within it, what the library says to a user's mistake becomes a `UserError`."""
    try:
        yield
    except (ValueError, TypeError, OSError) as error:
        raise UserError(str(error)) from error


@contextlib.contextmanager
def export_errors() -> Iterator[None]:
    """As `user_errors`, for an export: tells of warnings, and which layers failed."""
    try:
        with user_errors(), warning_lines():
            yield
    except ExportError as error:
        layers = [f"layer: {name}" for name in error.layers]
        raise UserError(str(error), layers, exit_code=FAILED) from error


@contextlib.contextmanager
def warning_lines() -> Iterator[None]:
    """Prints what the library warned of within it, a line each, if it succeeds."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.filterwarnings("always", category=UserWarning)
        yield
    for warning in caught:
        warn(warning.message)


@contextlib.contextmanager
def warnings_at_once() -> Iterator[None]:
    """Prints what the library warns of within it, a line each, as it is said."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("always", category=UserWarning)
        warnings.showwarning = lambda message, *_: warn(message)
        yield


def warn(message: object) -> None:
    """Prints a warning, in one line on the standard error stream."""
    text = in_options(one_line(message), command_parameters.get())
    typer.echo(f"warning: {text}", err=True)
