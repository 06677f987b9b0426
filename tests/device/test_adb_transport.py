"""The way over adb, with a program that says what the real one says.

The messages are those of `acquire_one_transport` in adb's transport.cpp, of its
commandline.cpp and file_sync_client.cpp, and of users' reports of their output.
"""

import subprocess

import pytest

from keras_rbcn.device import AdbTransport, DeviceError

UNAUTHORIZED = (
    "device unauthorized.\n"
    "This adb server's $ADB_VENDOR_KEYS is not set\n"
    "Try 'adb kill-server' if that seems wrong.\n"
    "Otherwise check for a confirmation dialog on your device."
)
DAEMON = (
    "* daemon not running; starting now at tcp:5037\n* daemon started successfully\n"
)


def test_a_command_leaves_output_errors_and_status(fake_adb):
    result = AdbTransport().run("echo 'a  b'; echo err >&2; exit 3")
    assert (result.stdout, result.stderr, result.status) == ("a  b\n", "err\n", 3)


def test_what_the_device_says_of_itself(fake_adb):
    transport = AdbTransport("0123456789")
    assert transport.architecture() == "aarch64"
    assert transport.description() == "Pixel 6"
    assert fake_adb.serials == {"0123456789"}
    assert "'0123456789'" in transport.name


def test_a_device_without_a_model(fake_adb):
    fake_adb.program("getprop", "echo")
    assert AdbTransport().description() == "the Android device"


def test_what_the_server_says_when_it_starts_is_no_output(fake_adb):
    fake_adb.program("uname", f"echo '{DAEMON.strip()}'; echo aarch64")
    assert AdbTransport().architecture() == "aarch64"


@pytest.mark.parametrize("front", ["adb: ", "error: ", "adb.exe: ", f"{DAEMON}adb: "])
@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("no devices/emulators found", "there is no device. Connect one"),
        ("no devices found", "there is no device. Connect one"),
        ("device '0123' not found", "there is no such device"),
        ("more than one device/emulator", "there are several devices.*serial"),
        ("more than one device and emulator", "there are several devices.*serial"),
        (UNAUTHORIZED, "the device does not trust this machine"),
        ("device offline", "the device is offline"),
        (
            "no permissions (missing udev rules? user is in the plugdev group); see "
            "[http://developer.android.com/tools/device.html]",
            "this user may not use the USB device",
        ),
        (
            "insufficient permissions for device: user in plugdev group; are your udev "
            "rules wrong?",
            "this user may not use the USB device",
        ),
        ("closed", "the connection broke"),
        ("cannot connect to daemon", "its server does not start"),
    ],
)
def test_a_device_that_cannot_be_reached(fake_adb, front, message, said):
    fake_adb.says(front + message)
    with pytest.raises(DeviceError, match=f"Cannot reach the Android device: {said}"):
        AdbTransport().architecture()


def test_any_other_error_of_adb_is_told(fake_adb):
    fake_adb.says("adb: something new")
    with pytest.raises(DeviceError, match="adb says 'adb: something new'"):
        AdbTransport().architecture()


def test_errors_of_the_program_on_the_device_are_its_own(fake_adb):
    result = AdbTransport().run("echo 'error: something' >&2; exit 1")
    assert result.status == 1


@pytest.mark.parametrize("name", ["-rf", "a file's $name", "ü", "plain"])
def test_files_arrive_whatever_their_name(fake_adb, tmp_path, monkeypatch, name):
    (tmp_path / name).write_bytes(b"content")
    monkeypatch.chdir(tmp_path)
    transport = AdbTransport()
    folder = transport.new_folder_name()
    transport.make_folder(folder)
    transport.push((tmp_path / name).relative_to(tmp_path), f"{folder}/{name}")
    (pushed,) = fake_adb.files.rglob(name)
    assert pushed.read_bytes() == b"content"
    transport.remove_folder(folder)
    assert not list(fake_adb.files.iterdir())


@pytest.mark.parametrize(
    ("remote", "said"),
    [
        # As in issue 4039 of github.com/ubports/ubports-installer.
        ("remote No space left on device", "no space left"),
        ("remote couldn't create file: Permission denied", "may not write there"),
        ("remote couldn't create file: Read-only file system", "read-only"),
        ("remote couldn't create file: Is a directory", "Is a directory"),
    ],
)
def test_a_push_that_fails(fake_adb, tmp_path, remote, said):
    (tmp_path / "file").write_bytes(b"content")
    fake_adb.says(f"adb: error: failed to copy 'file' to 'there': {remote}")
    with pytest.raises(DeviceError, match=f"Cannot put the file 'file' on .*{said}"):
        AdbTransport().push(tmp_path / "file", "there")


def test_a_push_that_fails_and_says_that_it_did_not(tmp_path, monkeypatch):
    # As in issue 1010 of github.com/ubports/ubports-installer.
    program = tmp_path / "adb"
    said = "adb: error: failed to copy 'x' to 'y': remote No space left on device"
    program.write_text(f'#!/bin/sh\necho "{said}"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(DeviceError, match="no space left"):
        AdbTransport().push(program, "there")


def test_a_machine_without_adb(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeviceError, match=r"no program 'adb'.*platform-tools"):
        AdbTransport().architecture()


def test_an_adb_that_hangs(fake_adb):
    with pytest.raises(DeviceError, match="'adb' took more than"):
        AdbTransport().run("exec sleep 30", timeout=0.3)


def test_a_daemon_that_adb_leaves_behind_is_not_waited_for(fake_adb):
    # It keeps the output open, as the server of adb may.
    result = AdbTransport().run("sleep 30 & echo $!; exit 0", timeout=10)
    subprocess.run(["kill", result.stdout.strip()], check=True)


def test_an_empty_serial():
    with pytest.raises(ValueError, match="Expected `serial`"):
        AdbTransport("")
