"""Puts a bundle, and Larq Compute Engine's archive, where the app's build takes them.

    python prepare.py BUNDLE --aar lce-lite-v0.16.0.aar

BUNDLE is what `keras_rbcn.export_bundle` or `keras-rbcn bundle` wrote. It is verified
first if there is a `--verify-key`. The archive (AAR) is needed once, and for bundles of
the runtime `lce` alone; README.md tells where it comes from.
"""

import argparse
import io
import re
import shutil
import sys
import zipfile
from pathlib import Path

import keras_rbcn as rbcn

HERE = Path(__file__).parent
ASSETS = Path("app", "src", "main", "assets", "bundle")
LOCAL_MAVEN = Path("local-maven")
CATALOG = Path("gradle", "libs.versions.toml")
BUILD_FILE = Path("app", "build.gradle.kts")
GROUP, ARTIFACT = "org.larq", "lce-lite"
LIBRARY = "libtensorflowlite_jni.so"
INTERPRETER = "org/tensorflow/lite/Interpreter.class"
POM = """<?xml version="1.0" encoding="UTF-8"?>
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>{group}</groupId>
  <artifactId>{artifact}</artifactId>
  <version>{version}</version>
  <packaging>aar</packaging>
</project>
"""


def copy_bundle(bundle: rbcn.Bundle, app: Path) -> None:
    """Copies what the app reads into its assets, in place of an older bundle.

    Raises:
        ValueError: If the app cannot run the model.
    """
    height, width, channels = bundle.image_shape  # Raises if it takes no image.
    scores = [value for value in bundle.metadata.outputs if value.kind != "other"]
    if len(scores) != 1:
        raise ValueError(
            f"Expected a model with one output of scores, received {len(scores)}."
        )
    names = ["metadata.json", bundle.metadata.model.file, scores[0].labels]
    shutil.rmtree(app / ASSETS, ignore_errors=True)
    for name in filter(None, names):
        path = app / ASSETS / name
        path.parent.mkdir(parents=True, exist_ok=True)
        # The very bytes that were verified.
        path.write_bytes(bundle.files[name])
    print(
        f"{bundle.metadata.name}: images of {height}x{width}x{channels}, "
        f"{scores[0].shape[1]} classes, runtime {bundle.metadata.model.runtime}"
    )


def install_archive(archive: Path, app: Path) -> None:
    """Puts the archive into the folder that Gradle takes it from.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is not Larq Compute Engine's, of the version that the app is
            built with, for each ABI that the app is built for.
    """
    version = engine_version(app)
    if not re.fullmatch(rf"{ARTIFACT}-v?{re.escape(version)}\.aar", archive.name):
        raise ValueError(
            f"Expected {ARTIFACT}-v{version}.aar, received '{archive.name}'. For "
            f"another version, change `lce` in {CATALOG}, and call the file as that."
        )
    _check_archive(archive, app)
    folder = archive_path(app).parent
    folder.mkdir(parents=True, exist_ok=True)
    pom = POM.format(group=GROUP, artifact=ARTIFACT, version=version)
    archive_path(app).with_suffix(".pom").write_text(pom, "utf-8")
    shutil.copyfile(archive, archive_path(app))


def engine_version(app: Path) -> str:
    """The version of Larq Compute Engine that the app is built with."""
    return _found(r'^lce = "([^"]+)"$', app / CATALOG)


def app_abis(app: Path) -> list[str]:
    """What kinds of processor the app is built for."""
    listed = _found(r"abiFilters \+= listOf\(([^)]*)\)", app / BUILD_FILE)
    return re.findall(r'"([^"]+)"', listed)


def archive_path(app: Path) -> Path:
    """Where Gradle takes the archive from."""
    version = engine_version(app)
    folder = app / LOCAL_MAVEN / GROUP.replace(".", "/") / ARTIFACT / version
    return folder / f"{ARTIFACT}-{version}.aar"


def _check_archive(archive: Path, app: Path) -> None:
    try:
        with zipfile.ZipFile(archive) as file:
            names = file.namelist()
            classes = zipfile.ZipFile(io.BytesIO(file.read("classes.jar"))).namelist()
    except (zipfile.BadZipFile, KeyError):
        raise ValueError(f"'{archive}' is no Android archive (AAR).") from None
    abis = [name.split("/")[1] for name in names if name.endswith(f"/{LIBRARY}")]
    missing = sorted(set(app_abis(app)) - set(abis))
    if INTERPRETER not in classes or missing:
        raise ValueError(
            f"'{archive}' is not Larq Compute Engine's: it holds "
            f"{'the' if INTERPRETER in classes else 'no'} Interpreter, and libraries "
            f"for {', '.join(abis) or 'no ABI'}; for {', '.join(missing) or 'none'} it "
            "lacks one."
        )


def _found(pattern: str, path: Path) -> str:
    match = re.search(pattern, path.read_text("utf-8"), re.MULTILINE)
    if match is None:
        raise ValueError(f"Expected '{path}' to hold a line like {pattern}.")
    return match[1]


def main(arguments: list[str] | None = None, app: Path = HERE) -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--aar", type=Path, help="Larq Compute Engine's archive")
    parser.add_argument("--verify-key", help="the public key it was signed with")
    parser.add_argument("--key", help="that of an encrypted bundle: file or env:NAME")
    options = parser.parse_args(arguments)
    try:
        if options.aar is not None:
            install_archive(options.aar, app)
        bundle = rbcn.Bundle(
            options.bundle,
            verify_key=options.verify_key,
            decryption_key=options.key,
        )
        if bundle.metadata.model.runtime == "lce" and not archive_path(app).exists():
            raise ValueError(
                "The bundle needs Larq Compute Engine's archive: give it as --aar (see "
                "README.md), or export the bundle with the runtime 'litert'."
            )
        copy_bundle(bundle, app)
    except (
        OSError,
        ValueError,
        rbcn.signing.SignatureError,
        rbcn.signing.EncryptionError,
    ) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
