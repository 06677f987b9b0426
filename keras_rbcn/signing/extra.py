"""The packages that only signing and encryption need, and that may be missing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def extra_packages() -> Iterator[None]:
    """Says what to install if an import within it fails.

    Raises:
        ImportError: In place of that of the package.
    """
    try:
        yield
    except ImportError as error:
        raise ImportError(
            f"Signing and encryption need the package '{error.name}': "
            "pip install 'keras-rbcn[signing]'.",
            name=error.name,
        ) from error
