"""Files and folders that take the place of older ones."""

import errno
import os
import re
import stat

import pytest

from keras_rbcn._files import replacing, replacing_folder


def _mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def _mask():
    before = os.umask(0o022)
    yield
    os.umask(before)


def _no_space(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.usefixtures("_mask")
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666])
def test_a_file_keeps_the_permissions_of_the_older_one(tmp_path, mode):
    path = tmp_path / "report.json"
    path.write_text("old")
    path.chmod(mode)
    with replacing(path) as beside:
        beside.write_text("new")
    assert path.read_text() == "new"
    assert _mode(path) == mode


@pytest.mark.usefixtures("_mask")
def test_a_new_file_and_a_new_folder_have_the_permissions_of_any(tmp_path):
    with replacing(tmp_path / "new.txt") as beside:
        beside.write_text("new")
    with replacing_folder(tmp_path / "new") as beside:
        (beside / "a.txt").write_text("new")
    with replacing_folder(tmp_path / "closed", 0o700) as beside:
        (beside / "a.txt").write_text("new")
    assert _mode(tmp_path / "new.txt") == 0o644
    assert _mode(tmp_path / "new") == 0o755
    assert _mode(tmp_path / "closed") == 0o700
    assert _mode(tmp_path / "new" / "a.txt") == 0o644


@pytest.mark.usefixtures("_mask")
@pytest.mark.parametrize("mode", [0o700, 0o750, 0o777])
def test_a_folder_keeps_its_permissions_and_those_of_its_files(tmp_path, mode):
    folder = tmp_path / "bundle"
    (folder / "sub").mkdir(parents=True)
    for name in ("kept", "sub/kept", "removed"):
        (folder / name).write_text("old")
        (folder / name).chmod(0o600)
    (folder / "sub").chmod(0o711)
    folder.chmod(mode)
    with replacing_folder(folder) as beside:
        assert not _mode(beside) & 0o077  # While it is written, too.
        (beside / "sub").mkdir()
        for name in ("kept", "sub/kept", "added"):
            (beside / name).write_text("new")
    assert _mode(folder) == mode
    assert _mode(folder / "sub") == 0o711
    assert {p.name: _mode(p) for p in folder.glob("*") if p.is_file()} == {
        "kept": 0o600,
        "added": 0o644,
    }
    assert _mode(folder / "sub" / "kept") == 0o600
    assert (folder / "kept").read_text() == "new"


def test_a_full_disk_is_told_with_the_file(tmp_path):
    path = tmp_path / "report.json"
    path.write_text("old")
    message = f"{os.strerror(errno.ENOSPC)}: '{path}'"
    with pytest.raises(OSError, match=re.escape(message)), replacing(path):
        _no_space()
    assert path.read_text() == "old"


def test_errors_name_the_file_to_be_and_not_the_one_beside(tmp_path):
    with (
        pytest.raises(PermissionError) as raised,
        replacing(tmp_path / "report.json") as beside,
    ):
        raise PermissionError(errno.EACCES, "denied", str(beside))
    assert raised.value.filename == str(tmp_path / "report.json")
    with (
        pytest.raises(FileNotFoundError) as raised,
        replacing_folder(tmp_path / "bundle") as beside,
    ):
        (beside / "none" / "a.txt").write_text("")
    assert raised.value.filename == str(tmp_path / "bundle" / "none" / "a.txt")
    assert not list(tmp_path.iterdir())


def test_other_errors_stay_as_they_are(tmp_path):
    for error in (
        FileNotFoundError(errno.ENOENT, "missing", "elsewhere.txt"),
        OSError("of no number"),
        ValueError("no system's"),
    ):
        with pytest.raises(type(error)) as raised, replacing(tmp_path / "a.txt"):
            raise error
        assert raised.value is error
    # In a folder, what names no file may be of anything that is done meanwhile.
    bundle = tmp_path / "bundle"
    with pytest.raises(OSError, match="No space") as raised, replacing_folder(bundle):
        _no_space()
    assert raised.value.filename is None
