"""examples/android: what can be checked of it without Android."""

import importlib.util
import json
import re
import sys
import xml.etree.ElementTree as ElementTree
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
import tree_sitter_kotlin
from tree_sitter import Language, Parser

import keras_rbcn as rbcn
from keras_rbcn import signing
from keras_rbcn._backend import keras
from keras_rbcn._grey import _WEIGHTS
from keras_rbcn.bundle.metadata import FORMAT, FORMAT_VERSION, KINDS, METADATA_NAME

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

APP = Path(__file__).parents[2] / "examples" / "android"
SOURCES = APP / "app/src/main/kotlin/org/kerasrbcn/classify"
TESTS = APP / "app/src/test/kotlin/org/kerasrbcn/classify"
RESOURCES = APP / "app/src/main/res"
ANDROID = "{http://schemas.android.com/apk/res/android}"
ARCHIVE_ABIS = ("x86", "x86_64", "arm64-v8a")
CODE = [*SOURCES.glob("*.kt"), *TESTS.glob("*.kt")]
# The blocks of each build file. Gradle's own names, which only Gradle knows.
BLOCKS = {
    "settings.gradle.kts": {
        "pluginManagement",
        "pluginManagement.repositories",
        "dependencyResolutionManagement",
        "dependencyResolutionManagement.repositories",
        "dependencyResolutionManagement.repositories.maven",
        "dependencyResolutionManagement.repositories.maven.content",
    },
    "build.gradle.kts": {"plugins"},
    "app/build.gradle.kts": {
        "plugins",
        "android",
        "android.defaultConfig",
        "android.defaultConfig.ndk",
        "android.buildTypes",
        "android.buildTypes.release",
        "android.compileOptions",
        "android.kotlinOptions",
        "android.sourceSets",
        "dependencies",
    },
}


@pytest.fixture(scope="module")
def prepare():
    spec = importlib.util.spec_from_file_location("prepare", APP / "prepare.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _kotlin():
    return "\n".join(path.read_text("utf-8") for path in SOURCES.glob("*.kt"))


def _without_comments_and_strings(code):
    code = re.sub(r'"""(.|\n)*?"""', '""', code)
    code = re.sub(r'"(\\.|[^"\\\n])*"', '""', code)
    return re.sub(r"//[^\n]*|/\*(.|\n)*?\*/", "", code)


def _constant(name):
    (value,) = re.findall(rf"const val {name} = \"?([^\"\n]+)\"?", _kotlin())
    return value


@pytest.mark.parametrize("path", CODE, ids=lambda path: path.name)
def test_brackets_are_balanced(path):
    opened = []
    for character in _without_comments_and_strings(path.read_text("utf-8")):
        if character in "([{":
            opened.append(character)
        elif character in ")]}":
            assert opened, path
            assert opened.pop() + character in ("()", "[]", "{}")
    assert not opened


def _errors(node):
    """The lines of a build file, from 1, at which it is no Kotlin."""
    if node.is_error or node.is_missing:
        return [node.start_point.row + 1]
    return [line for child in node.children for line in _errors(child)]


def _blocks(node):
    """The names of the blocks in a build file, each after those it lies in."""
    named, prefix = set(), ""
    if node.type == "call_expression" and node.children[-1].type == "annotated_lambda":
        prefix = node.children[0].text.decode()
        named.add(prefix)
    for child in node.children:
        named |= {f"{prefix}.{name}".lstrip(".") for name in _blocks(child)}
    return named


def _parsed(text):
    parser = Parser(Language(tree_sitter_kotlin.language()))
    return parser.parse(text.encode()).root_node


def test_the_build_files_are_parsed():
    found = {path.relative_to(APP).as_posix() for path in APP.rglob("*.gradle.kts")}
    assert found == set(BLOCKS)
    for name, blocks in BLOCKS.items():
        root = _parsed((APP / name).read_text("utf-8"))
        assert not root.has_error, f"{name}: lines {_errors(root)}"
        assert _blocks(root) == blocks


@pytest.mark.parametrize(
    ("written", "broken"),
    [
        ("compileSdk = 35", "compileSdk = = 35"),
        ("minSdk = 30", "minSdk ="),
        ('listOf("arm64-v8a", "x86_64")', 'listOf("arm64-v8a" "x86_64")'),
        ('jvmTarget = "17"', 'jvmTarget = "17'),
        ("implementation(libs.activity)", "implementation(libs.activity"),
    ],
)
def test_broken_build_files_are_found(written, broken):
    text = (APP / "app/build.gradle.kts").read_text("utf-8")
    assert text.count(written) == 1
    root = _parsed(text.replace(written, broken))
    assert root.has_error
    assert _errors(root)


@pytest.mark.parametrize(
    ("written", "broken"),
    [
        ("plugins {", "plugns {"),
        ("defaultConfig {", "defaultConfg {"),
        ("    ndk {", "    abi {"),
        ("dependencies {", "if (metadata.exists()) {"),
    ],
)
def test_blocks_of_other_names_are_found(written, broken):
    text = (APP / "app/build.gradle.kts").read_text("utf-8")
    assert text.count(written) == 1
    root = _parsed(text.replace(written, broken))
    assert not root.has_error  # Kotlin, all the same.
    assert _blocks(root) != BLOCKS["app/build.gradle.kts"]


def test_each_source_is_of_the_package_of_the_app():
    build = (APP / "app/build.gradle.kts").read_text()
    (namespace,) = re.findall(r'namespace = "(.*)"', build)
    for path in (*SOURCES.glob("*.kt"), *TESTS.glob("*.kt")):
        assert path.read_text("utf-8").startswith(f"package {namespace}\n")
        assert path.parent.as_posix().endswith(namespace.replace(".", "/"))


def test_the_catalog_has_what_the_build_files_name():
    catalog = tomllib.loads((APP / "gradle/libs.versions.toml").read_text())
    for entry in (*catalog["libraries"].values(), *catalog["plugins"].values()):
        assert entry["version"]["ref"] in catalog["versions"]
    used = {
        name
        for path in APP.rglob("*.gradle.kts")
        for name in re.findall(r"\blibs\.([a-zA-Z.]+)", path.read_text())
    }
    accessors = {name.replace("-", ".") for name in catalog["libraries"]}
    accessors |= {f"plugins.{name.replace('-', '.')}" for name in catalog["plugins"]}
    assert used == accessors
    used_versions = {
        entry["version"]["ref"]
        for entry in (*catalog["libraries"].values(), *catalog["plugins"].values())
    }
    assert used_versions == set(catalog["versions"])


def test_the_engine_is_that_of_the_converter(prepare):
    version = prepare.engine_version(APP)
    assert version == metadata.version("larq-compute-engine")
    assert f"lce-lite-v{version}.aar" in (APP / "README.md").read_text()


def test_the_archive_comes_from_a_local_folder(prepare):
    settings = (APP / "settings.gradle.kts").read_text()
    assert f'url = uri("{prepare.LOCAL_MAVEN}")' in settings
    assert f'includeGroup("{prepare.GROUP}")' in settings
    catalog = tomllib.loads((APP / "gradle/libs.versions.toml").read_text())
    module = catalog["libraries"]["lce"]["module"]
    assert module == f"{prepare.GROUP}:{prepare.ARTIFACT}"
    ignored = (APP / ".gitignore").read_text().splitlines()
    assert f"{prepare.LOCAL_MAVEN}/" in ignored
    assert f"{prepare.ASSETS.parent.as_posix()}/" in ignored


def test_the_abis_are_in_the_archive(prepare):
    assert set(prepare.app_abis(APP)) <= set(ARCHIVE_ABIS)
    assert "arm64-v8a" in prepare.app_abis(APP)


def _manifest():
    return ElementTree.parse(APP / "app/src/main/AndroidManifest.xml").getroot()


def test_the_manifest():
    application = _manifest().find("application")
    assert _manifest().find("uses-permission") is None
    activity = application.find("activity")
    name = activity.get(f"{ANDROID}name")
    assert (SOURCES / f"{name.removeprefix('.')}.kt").is_file()
    assert activity.get(f"{ANDROID}exported") == "true"
    action = activity.find("intent-filter/action").get(f"{ANDROID}name")
    assert action == "android.intent.action.MAIN"
    provider = application.find("provider")
    assert provider.get(f"{ANDROID}name") == "androidx.core.content.FileProvider"
    assert provider.get(f"{ANDROID}exported") == "false"
    assert provider.get(f"{ANDROID}grantUriPermissions") == "true"
    suffix = provider.get(f"{ANDROID}authorities").removeprefix("${applicationId}")
    assert f'"$packageName{suffix}"' in _kotlin()


def test_the_camera_writes_where_the_provider_shares():
    (path,) = ElementTree.parse(RESOURCES / "xml/photo_paths.xml").getroot()
    assert path.tag == "cache-path"
    assert f'File(cacheDir, "{path.get("path").rstrip("/")}")' in _kotlin()


def test_resources_that_are_named_exist():
    named = set(re.findall(r"\bR\.(\w+)\.(\w+)", _kotlin()))
    for path in (*RESOURCES.rglob("*.xml"), APP / "app/src/main/AndroidManifest.xml"):
        ElementTree.parse(path)  # Raises if it is not well formed.
        named |= set(re.findall(r'"@(string|xml|drawable)/(\w+)"', path.read_text()))
    strings = ElementTree.parse(RESOURCES / "values/strings.xml").getroot()
    existing = {("string", item.get("name")) for item in strings}
    for kind in ("layout", "xml", "drawable"):
        existing |= {(kind, p.stem) for p in (RESOURCES / kind).glob("*.xml")}
    for path in (RESOURCES / "layout").glob("*.xml"):
        existing |= {
            ("id", name) for name in re.findall(r'"@\+id/(\w+)"', path.read_text())
        }
    assert named == existing  # None is missing, and none is left over.


def test_format_strings_are_given_what_they_ask_for():
    for item in ElementTree.parse(RESOURCES / "values/strings.xml").getroot():
        asked = set(re.findall(r"%(\d)\$", item.text))
        name = item.get("name")
        if asked:
            (call,) = re.findall(rf"getString\(R\.string\.{name}, (.*)\)", _kotlin())
            assert len(call.rstrip(")").split(", ")) == len(asked)


def test_the_app_knows_the_format_of_this_package():
    assert _constant("FORMAT") == FORMAT
    assert int(_constant("FORMAT_VERSION")) == FORMAT_VERSION
    assert _constant("FILE") == METADATA_NAME
    assert '"{}", "{}", "{}"'.format(*KINDS) in _kotlin()


def test_grey_is_that_of_this_package():
    red, green, blue = _WEIGHTS
    sum_of_colours = f"{red} * red + {green} * green + {blue} * blue"
    code = (SOURCES / "Preprocessing.kt").read_text("utf-8")
    assert f"input.channels == 1 -> ({sum_of_colours} + 500) / 1000\n" in code


def test_the_app_reads_its_bundle_where_prepare_puts_it(prepare):
    # The folder that becomes the app's assets.
    assert prepare.ASSETS.parent == Path("app/src/main/assets")
    assert _constant("FOLDER") == prepare.ASSETS.name
    assert 'assets.open("$FOLDER/$it")' in _kotlin()


def test_the_app_reads_fields_that_are_written():
    schema = json.loads(
        (APP.parents[1] / "docs" / "bundle_metadata.schema.json").read_text()
    )
    read = set(
        re.findall(
            r"\.(?:get\w+|isNull)\(\"(\w+)\"\)",
            (SOURCES / "BundleMetadata.kt").read_text(),
        )
    )
    assert len(read) > 15
    assert read <= _fields(schema)


def _fields(schema):
    if isinstance(schema, list):
        return set().union(*map(_fields, schema))
    if not isinstance(schema, dict):
        return set()
    return set(schema.get("properties", ())) | _fields(list(schema.values()))


# --- prepare.py -------------------------------------------------------------------


@pytest.fixture
def app(tmp_path):
    """The files of the app that prepare.py reads."""
    app = tmp_path / "app of the test"
    for name in ("gradle/libs.versions.toml", "app/build.gradle.kts"):
        (app / name).parent.mkdir(parents=True, exist_ok=True)
        (app / name).write_bytes((APP / name).read_bytes())
    return app


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    """A bundle for each runtime."""
    folder = tmp_path_factory.mktemp("bundles")
    model = keras.Sequential(
        [
            keras.Input((4, 4, 3)),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(2),
        ],
        name="pets",
    )
    for runtime in ("lce", "litert"):
        rbcn.export_bundle(
            model,
            folder / runtime,
            labels=["cat", "dog"],
            preprocessing=rbcn.ImagePreprocessing.from_range(-1, 1),
            verify_data=rbcn.datasets.digits().test.x[:8, :4, :4].repeat(3, -1),
            runtime=runtime,
        )
    return folder


def _archive(path, abis=ARCHIVE_ABIS, interpreter="org/tensorflow/lite/Interpreter"):
    with zipfile.ZipFile(path.with_name("classes.jar"), "w") as jar:
        jar.writestr(f"{interpreter}.class", b"")
    with zipfile.ZipFile(path, "w") as aar:
        aar.write(path.with_name("classes.jar"), "classes.jar")
        for abi in abis:
            aar.writestr(f"jni/{abi}/libtensorflowlite_jni.so", b"")
    return path


def test_prepare(prepare, app, bundles, tmp_path, capsys):
    archive = _archive(tmp_path / "lce-lite-v0.16.0.aar")
    prepare.main([str(bundles / "lce"), "--aar", str(archive)], app)
    assert "images of 4x4x3, 2 classes, runtime lce" in capsys.readouterr().out
    assets = app / "app/src/main/assets/bundle"
    copied = {path.name: path.read_bytes() for path in assets.iterdir()}
    assert copied.keys() == {"labels.txt", "metadata.json", "model.tflite"}
    for name, content in copied.items():
        assert (bundles / "lce" / name).read_bytes() == content
    local = app / "local-maven/org/larq/lce-lite/0.16.0"
    assert (local / "lce-lite-0.16.0.aar").read_bytes() == archive.read_bytes()
    pom = ElementTree.parse(local / "lce-lite-0.16.0.pom").getroot()
    told = {element.tag.partition("}")[2]: element.text for element in pom}
    assert told["groupId"] == "org.larq"
    assert (told["version"], told["packaging"]) == ("0.16.0", "aar")
    # The archive is there now, and the older bundle goes.
    (assets / "old.txt").write_text("x")
    prepare.main([str(bundles / "lce")], app)
    assert not (assets / "old.txt").exists()


def test_the_build_takes_the_runtime_of_the_bundle(prepare, app, bundles):
    prepare.main([str(bundles / "litert")], app)
    text = (app / prepare.ASSETS / "metadata.json").read_text()
    build = (APP / "app/build.gradle.kts").read_text()
    assert f'file("{(prepare.ASSETS / "metadata.json").relative_to("app")}")' in build
    (wanted,) = re.findall(r'contains\("(.*)"\)', build)
    assert wanted.replace('\\"', '"') in text
    assert wanted.replace('\\"', '"') not in (bundles / "lce/metadata.json").read_text()


def test_what_prepare_refuses(prepare, app, bundles, tmp_path):
    signing.generate_key(tmp_path / "private.pem", tmp_path / "public.pem")
    good = _archive(tmp_path / "lce-lite-v0.16.0.aar")
    (tmp_path / "text").mkdir()
    text = tmp_path / "text" / good.name
    text.write_text("no archive")
    folders = {}
    for name in ("stock", "partial", "version"):
        folders[name] = tmp_path / name
        folders[name].mkdir()
    stock = _archive(folders["stock"] / good.name, interpreter="org/other/Interpreter")
    partial = _archive(folders["partial"] / good.name, abis=("x86_64",))
    version = _archive(folders["version"] / "lce-lite-v0.15.0.aar")
    lce = str(bundles / "lce")
    for arguments, fragment in (
        ([lce], "needs Larq Compute Engine's archive"),
        ([lce, "--aar", str(tmp_path / "none.aar")], "none.aar"),
        ([lce, "--aar", str(text)], "is no Android archive"),
        ([lce, "--aar", str(stock)], "holds no Interpreter"),
        ([lce, "--aar", str(partial)], "for arm64-v8a it lacks one"),
        ([lce, "--aar", str(version)], "Expected lce-lite-v0.16.0.aar"),
        ([str(tmp_path)], "export_bundle"),
        ([lce, "--verify-key", str(tmp_path / "public.pem")], "not signed"),
    ):
        with pytest.raises(SystemExit, match=fragment):
            prepare.main(arguments, app)
        assert not (app / prepare.ASSETS).exists()
        assert not (app / prepare.LOCAL_MAVEN).exists()
