"""What is wrong with a bundle."""

from __future__ import annotations

from collections.abc import Sequence


class SignatureError(RuntimeError):
    """A bundle that is not signed, or not as it was signed.

    No ValueError, so that code which passes over files that cannot be read does not
    pass over one that somebody altered.

    Attributes:
        files: Names of the files that are at fault, within the bundle; empty if it is
            the bundle as a whole.
    """

    def __init__(self, message: str, files: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.files = tuple(files)


class EncryptionError(RuntimeError):
    """A file that is no encrypted bundle, was altered, or has another key."""


class BundleError(ValueError):
    """A folder that is no bundle.

    Attributes:
        files: As those of `SignatureError`.
    """

    def __init__(self, message: str, files: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.files = tuple(files)
