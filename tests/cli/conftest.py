"""What the tests of the command line share."""

import logging

import pytest
from typer.testing import CliRunner

from keras_rbcn.cli.app import app


@pytest.fixture(autouse=True)
def _log_levels():
    """The commands silence these for their process."""
    loggers = [logging.getLogger(name) for name in ("tensorflow", "absl")]
    levels = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@pytest.fixture(scope="session")
def run():
    """Runs the command line in this process."""

    def invoke(*arguments):
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return invoke
