"""Bundles as folders, read once into memory."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from keras_rbcn.signing.errors import BundleError

SIGNATURE_NAME = "model.sig"
MODEL_SUFFIX = ".tflite"
# Far beyond any bundle of light models. What is larger is a folder named by mistake, or
# was filled up to exhaust the memory of the device.
MAX_FILES = 200
MAX_BYTES = 2**30
_PRIVATE_KEY = b"PRIVATE KEY-----"


def bundle_folder(path: str | os.PathLike[str]) -> Path:
    """The folder of the bundle that a user named, by itself or by a model in it.

    Raises:
        FileNotFoundError: If there is nothing at the path.
        BundleError: If it is another kind of file.
    """
    path = Path(path)
    if path.is_dir():
        return path
    if not path.exists():
        raise FileNotFoundError(f"There is no bundle and no file '{path}'.")
    if path.suffix != MODEL_SUFFIX:
        raise BundleError(
            f"Expected the folder of a bundle or a {MODEL_SUFFIX} file in it, received "
            f"another file: path={str(path)!r}."
        )
    return path.parent


def read_folder(folder: Path) -> dict[str, bytes]:
    """All files of a folder by name, with `/` between the parts of a name.

    Raises:
        BundleError: If the folder holds links or special files, or more than any bundle
            does.
        OSError: If a file cannot be read.
    """
    contents: dict[str, bytes] = {}
    size = 0
    for path in _files(folder):
        name = path.relative_to(folder).as_posix()
        content = _read_ordinary(path, name, MAX_BYTES - size)
        size += len(content)
        contents[name] = content
        if len(contents) > MAX_FILES:
            raise BundleError(
                f"Expected a bundle, but folder '{folder}' holds more than {MAX_FILES} "
                "files. Put the model and what ships with it into a folder of their "
                "own."
            )
    return dict(sorted(contents.items()))


def _files(folder: Path) -> Iterator[Path]:
    def fail(error: OSError) -> None:
        raise error

    for parent, folders, names in os.walk(folder, onerror=fail):
        # A link to a folder is listed with the folders, and not followed.
        links = [name for name in folders if Path(parent, name).is_symlink()]
        yield from (Path(parent, name) for name in sorted(names + links))


def _read_ordinary(path: Path, name: str, limit: int) -> bytes:
    """The bytes of a file that is neither a link nor a device."""
    if not stat.S_ISREG(path.lstat().st_mode):
        raise BundleError(
            f"'{name}' in '{path.parent}' is a link or a special file: a bundle holds "
            "ordinary files only.",
            [name],
        )
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise BundleError(
            f"The name {name!a} is not in UTF-8: rename the file.", [name]
        ) from None
    # It may have become a link since.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    with open(os.open(path, flags), "rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise BundleError(
            f"Expected a bundle of at most {MAX_BYTES} bytes, but it is larger: see "
            f"'{name}'.",
            [name],
        )
    return content


def read_to_ship(bundle: str | os.PathLike[str]) -> tuple[Path, dict[str, bytes]]:
    """The folder of a bundle and its files, if they may leave the house.

    Args:
        bundle: The folder, or the only model in it.

    Returns:
        The folder, and its files by name.

    Raises:
        FileNotFoundError: If there is no such bundle.
        BundleError: If it is no bundle, or holds what should not be shipped.
    """
    folder = bundle_folder(bundle)
    _refuse_hidden(folder)
    contents = read_folder(folder)
    models = models_in(contents)
    if not models:
        raise BundleError(
            f"Expected a bundle with a {MODEL_SUFFIX} file, but there is none in "
            f"'{folder}'."
        )
    if Path(bundle) != folder and len(models) > 1:
        raise BundleError(
            f"'{bundle}' is not the only model of its folder: {', '.join(models)}. If "
            f"they belong together, name the folder '{folder}'; if not, put the model "
            "and what ships with it into a folder of their own."
        )
    strange = [name for name in contents if not is_portable(name)]
    if strange:
        raise BundleError(
            f"The name {strange[0]!a} in '{folder}' cannot be used on every system: "
            "rename the file.",
            strange,
        )
    secrets = [name for name, content in contents.items() if _PRIVATE_KEY in content]
    if secrets:
        raise BundleError(
            f"'{secrets[0]}' in '{folder}' holds a private key, which would be shipped "
            "with the model: move it elsewhere.",
            secrets,
        )
    return folder, contents


def _refuse_hidden(folder: Path) -> None:
    """Refuses what users do not see; first, as a .git holds thousands of files."""
    hidden = sorted(
        Path(parent, name).relative_to(folder).as_posix()
        for parent, folders, names in os.walk(folder)
        for name in folders + names
        if name.startswith(".")
    )
    if hidden:
        raise BundleError(
            f"Expected a bundle, but '{folder}' holds '{hidden[0]}': hidden files are "
            "no part of one. Remove them, or put the model and what ships with it into "
            "a folder of their own.",
            hidden,
        )


def models_in(contents: Mapping[str, bytes]) -> list[str]:
    """The names of a bundle's models."""
    return [name for name in contents if name.endswith(MODEL_SUFFIX)]


def is_portable(name: str) -> bool:
    """Whether a file of this name lies within its bundle, on every system."""
    parts = PurePosixPath(name).parts
    return (
        name == "/".join(parts) != ""
        and ".." not in parts
        and not name.startswith("/")
        and not set(name) & set("\\:\0")
    )
