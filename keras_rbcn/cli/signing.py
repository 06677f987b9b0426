"""Signed and encrypted bundles: the commands, and what they do."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from keras_rbcn import signing
from keras_rbcn._files import OWNER_ONLY, naming_the_cause, replacing_folder
from keras_rbcn.cli.errors import FAILED, UserError, user_errors, warning_lines
from keras_rbcn.cli.files import check_output, resolved
from keras_rbcn.signing import EncryptionError, SignatureError
from keras_rbcn.signing.folders import SIGNATURE_NAME

_Bundle = Annotated[
    Path,
    typer.Argument(
        metavar="BUNDLE|MODEL.tflite",
        help="The folder of a model and of all that ships with it, or the model in it.",
    ),
]
_PasswordEnvironment = Annotated[
    str | None,
    typer.Option(
        "--password-env",
        metavar="NAME",
        help="The environment variable with the private key's password.",
    ),
]
_PasswordFile = Annotated[
    Path | None,
    typer.Option(
        "--password-file",
        metavar="FILE",
        help="The file with the private key's password.",
    ),
]
_EncryptionKey = Annotated[
    str,
    typer.Option(
        "--key",
        metavar="FILE|env:NAME",
        help="The key's file, or the environment variable that holds it.",
    ),
]


@contextlib.contextmanager
def bundle_errors() -> Iterator[None]:
    """As `user_errors`, for what the library says of bundles and of the extra too."""
    try:
        with user_errors(), warning_lines():
            yield
    except (SignatureError, EncryptionError) as error:
        raise UserError(str(error), exit_code=FAILED) from error
    except ImportError as error:
        raise UserError(str(error)) from error


def keygen(
    private: Annotated[
        Path | None,
        typer.Option(metavar="PRIVATE.pem", help="Where to write a key to sign with."),
    ] = None,
    public: Annotated[
        Path | None,
        typer.Option(metavar="PUBLIC.pem", help="Where to write its key to verify."),
    ] = None,
    encryption: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where to write a key to encrypt with."),
    ] = None,
    password_env: _PasswordEnvironment = None,
    password_file: _PasswordFile = None,
) -> None:
    """Make keys: a private and a public one to sign and verify, or one to encrypt.

    Files that exist are never overwritten.
    """
    if (private is None) != (public is None):
        raise UserError("--private and --public belong together: give both.")
    if private is None and encryption is None:
        raise UserError("expected --private and --public, or --encryption.")
    if private is None and (password_env or password_file):
        raise UserError(
            "--password-env and --password-file protect a private key, and no key to "
            "encrypt with: leave them out, and keep that file where no one else reads."
        )
    written: list[Path] = []
    for path in (private, public, encryption):
        if path is not None:
            check_output(path, *written)
            if path.exists():  # Before a key is there that has no other.
                raise UserError(f"{path} exists, and keys are never overwritten.")
            written.append(path)
    with bundle_errors():
        if private is not None and public is not None:
            password = _password(password_env, password_file)
            signing.generate_key(private, public, password)
            typer.echo(f"Wrote {private} (keep it secret) and {public}")
        if encryption is not None:
            signing.generate_encryption_key(encryption)
            typer.echo(f"Wrote {encryption} (keep it secret)")


def sign(
    bundle: _Bundle,
    key: Annotated[
        Path,
        typer.Option(metavar="PRIVATE.pem", help="The private key, as of keygen."),
    ],
    certificate: Annotated[
        Path | None,
        typer.Option(metavar="FILE.pem", help="The key's certificate, if it has one."),
    ] = None,
    chain: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE.pem",
            help="The certificate that issued that one, and so on to the root. May be "
            "given several times.",
        ),
    ] = None,
    password_env: _PasswordEnvironment = None,
    password_file: _PasswordFile = None,
) -> None:
    """Sign a bundle: every file of its folder, and that there is no other.

    Writes model.sig to the folder, and replaces an older one.
    """
    with bundle_errors():
        signature = signing.sign(
            bundle,
            key,
            password=_password(password_env, password_file),
            certificate=certificate,
            certificate_chain=chain or None,
        )
        names = _names(signing.read_bundle(signature.parent))
    typer.echo(f"Signed {names}")
    typer.echo(f"Wrote {signature}")


def verify(
    bundle: _Bundle,
    key: Annotated[
        Path | None,
        typer.Option(metavar="PUBLIC.pem", help="The public key, as of keygen."),
    ] = None,
    chain: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE.pem",
            help="Certificates to trust, a root at least, if the bundle was signed "
            "with a certificate. May be given several times.",
        ),
    ] = None,
) -> None:
    """Verify that a bundle is as it was signed.

    If it is not, the exit code is 1, and the files that were changed, removed or added
    are named.
    """
    if (key is None) == (not chain):
        raise UserError("expected --key or --chain, and not both.")
    with bundle_errors():
        contents = signing.read_bundle(bundle, key, certificate_chain=chain or None)
    typer.echo(f"As it was signed: {_names(contents)}")


def encrypt(
    bundle: _Bundle,
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="The encrypted file to write.")
    ],
    key: _EncryptionKey,
) -> None:
    """Write a bundle as one encrypted file. If it is to be signed, sign it first."""
    check_output(out)
    with bundle_errors():
        signing.encrypt(bundle, out, key)
    typer.echo(f"Wrote {out}")


def decrypt(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A file that encrypt wrote.")
    ],
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="The folder to create.")
    ],
    key: _EncryptionKey,
) -> None:
    """Unpack an encrypted bundle into a new folder, where it lies open."""
    resolved(folder)
    if folder.exists():
        raise UserError(f"'{folder}' exists: name a folder that does not.")
    check_output(folder)
    with bundle_errors():
        contents = signing.decrypt(file, key)
        _write_folder(folder, contents)
    typer.echo(f"Wrote {_names(contents)} to {folder}")


def _password(variable: str | None, file: Path | None) -> str | None:
    """The password, which is never typed where a history would keep it."""
    if variable is not None and file is not None:
        raise UserError("expected --password-env or --password-file, not both.")
    if variable is not None:
        password = os.environ.get(variable, "")
        if not password:
            raise UserError(f"there is no password in the environment: {variable}.")
        return password
    if file is not None:
        # Editors end a file with a line break, which is no part of it.
        return file.read_text("utf-8").removesuffix("\n")
    return None


def _names(contents: dict[str, bytes]) -> str:
    names = [name for name in contents if name != SIGNATURE_NAME]
    return f"{len(names)} {'file' if len(names) == 1 else 'files'}: {', '.join(names)}"


def _write_folder(folder: Path, contents: dict[str, bytes]) -> None:
    """Writes the files to a new folder, or none of them."""
    with (
        naming_the_cause("The bundle cannot be unpacked", folder),
        replacing_folder(folder, OWNER_ONLY) as beside,
    ):
        for name, content in contents.items():
            path = beside / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
