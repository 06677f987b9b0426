"""The way over ssh, to a real sshd on this machine."""

import os
import shutil
import socket

import pytest
from devices import make_key

from keras_rbcn.device import DeviceError, SshTransport


def test_a_command_leaves_output_errors_and_status(sshd):
    result = sshd.transport().run("echo out; echo err >&2; exit 3")
    assert (result.stdout, result.stderr, result.status) == ("out\n", "err\n", 3)


def test_a_command_may_hold_anything(sshd):
    text = """it's "$HOME" `ls` \\ * ; # ü"""
    # Quoted once for the shell on the device, and no more.
    quoted = text.replace("'", "'\\''")
    assert sshd.transport().run(f"printf %s '{quoted}'").stdout == text


def test_what_the_device_says_of_itself(sshd):
    sshd.program("uname", 'test "$*" = -m && echo aarch64')
    transport = sshd.transport()
    assert transport.architecture() == "aarch64"
    assert transport.has_program("sh")
    assert not transport.has_program("no-such-program")
    assert transport.free_bytes(".") > 0
    assert transport.description()


def test_a_device_that_does_not_tell_its_architecture(sshd):
    sshd.program("uname", "echo Microsoft Windows")
    with pytest.raises(DeviceError, match="Microsoft Windows"):
        sshd.transport().architecture()


@pytest.mark.parametrize(
    ("said", "free"),
    [
        ("/dev/root 1000 900 100 90% /", 102400),
        ("my disk 1000 900 100 90% /my place", 102400),
        ("tmpfs 1000 - 7 - /run", None),
        ("df: unknown option", None),
    ],
)
def test_free_space_as_far_as_it_is_told(sshd, said, free):
    title = "Filesystem 1024-blocks Used Available Capacity Mounted on"
    sshd.program("df", f"echo '{title}'; echo '{said}'")
    assert sshd.transport().free_bytes(".") == free


@pytest.mark.parametrize("name", ["-rf", "a file's $name", "ü:x", "plain"])
def test_files_arrive_whatever_their_name(sshd, tmp_path, monkeypatch, name):
    content = os.urandom(100_000)
    (tmp_path / name).write_bytes(content)
    monkeypatch.chdir(tmp_path)
    folder = sshd.transport().new_folder_name()
    transport = sshd.transport()
    transport.make_folder(folder)
    transport.push((tmp_path / name).relative_to(tmp_path), f"{folder}/{name}")
    assert (sshd.home / folder / name).read_bytes() == content
    transport.make_executable(f"{folder}/{name}")
    assert os.access(sshd.home / folder / name, os.X_OK)
    transport.remove_folder(folder)
    assert not sshd.left_behind


def test_a_device_without_space(sshd, tmp_path):
    (tmp_path / "file").write_bytes(b"1")
    with pytest.raises(DeviceError, match="no space left: delete") as error:
        sshd.transport().push(tmp_path / "file", "/dev/full")
    assert "'file'" in str(error.value)


def test_a_file_that_does_not_arrive_as_a_whole(sshd, tmp_path):
    (tmp_path / "file").write_bytes(b"123")
    sshd.program("cat", "head -c 2")
    with pytest.raises(DeviceError, match=r"'file' .* did not arrive as a whole"):
        sshd.transport().push(tmp_path / "file", "file")


def test_a_place_that_cannot_be_written_to(sshd, tmp_path):
    (tmp_path / "file").write_bytes(b"123")
    with pytest.raises(DeviceError, match=r"Cannot put the file 'file' on .*no/file"):
        sshd.transport().push(tmp_path / "file", "no/file")
    with pytest.raises(DeviceError, match="Cannot put a folder 'no/folder' on"):
        sshd.transport().make_folder("no/folder")


def test_a_program_that_takes_too_long_is_ended_with_its_folder(sshd):
    transport = sshd.transport()
    folder = transport.new_folder_name()
    transport.make_folder(folder)
    with pytest.raises(DeviceError, match="more than 1 seconds"):
        transport.run_in(folder, ["sleep", "60"], timeout=1)
    process = int((sshd.home / folder / "process").read_text())
    os.kill(process, 0)  # It runs on there.
    transport.remove_folder(folder)
    assert not sshd.left_behind
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_programs_get_their_arguments_as_they_are(sshd):
    transport = sshd.transport()
    folder = transport.new_folder_name()
    transport.make_folder(folder)
    arguments = ["it's", "$HOME", "a b", "*", ""]
    result = transport.run_in(folder, ["printf", "[%s]", *arguments], 10)
    assert result.stdout == "[it's][$HOME][a b][*][]"
    assert transport.run_in(folder, ["sh", "-c", "kill -9 $$"], 10).status == 137
    transport.remove_folder(folder)


def test_a_host_that_is_unknown():
    with pytest.raises(DeviceError, match=r"Cannot reach 'pi@no\.invalid': its name"):
        SshTransport("pi@no.invalid").architecture()


def test_a_refused_connection(sshd):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        transport = sshd.transport(f"Port={closed.getsockname()[1]}")
        with pytest.raises(DeviceError, match=r"it refused the connection.* port\?$"):
            transport.architecture()


def test_a_host_that_does_not_answer(sshd):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        transport = sshd.transport(f"Port={port}", "ConnectTimeout=1")
        with pytest.raises(DeviceError, match="it does not answer"):
            transport.architecture()


def test_a_log_in_that_is_refused(sshd, tmp_path):
    make_key(tmp_path / "other")
    options = [f"IdentityFile={tmp_path / 'other'}"]
    options += [option for option in sshd.options if "IdentityFile" not in option]
    transport = SshTransport("127.0.0.1", options)
    with pytest.raises(DeviceError, match=r"refused the log-in.*ssh-copy-id"):
        transport.architecture()


def test_a_host_key_that_is_not_known(sshd, tmp_path):
    transport = sshd.transport(f"UserKnownHostsFile={tmp_path / 'none'}")
    with pytest.raises(DeviceError, match="its host key is not known yet"):
        transport.architecture()


def test_a_host_key_that_has_changed(sshd, tmp_path):
    make_key(tmp_path / "other")
    other = (tmp_path / "other.pub").read_text().split()[1]
    known = (sshd.folder / "known_hosts").read_text().split()
    (tmp_path / "hosts").write_text(" ".join([*known[:2], other]) + "\n")
    transport = sshd.transport(f"UserKnownHostsFile={tmp_path / 'hosts'}")
    with pytest.raises(DeviceError, match=r"another than it was.*ssh-keygen -R"):
        transport.architecture()


def test_an_option_that_ssh_does_not_know(sshd):
    with pytest.raises(DeviceError, match=r"ssh says '.*[Bb]ad configuration option"):
        sshd.transport("NoSuchOption=1").architecture()


def test_a_machine_without_ssh(sshd, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeviceError, match=r"no program 'ssh'.*install OpenSSH"):
        sshd.transport().architecture()


@pytest.mark.parametrize("host", ["", "-oProxyCommand=touch x"])
def test_a_host_that_is_none(host):
    with pytest.raises(ValueError, match="Expected `host` to be"):
        SshTransport(host)


@pytest.mark.parametrize("option", ["", "Port", "-p 22", "=22"])
def test_an_option_that_is_none(option):
    with pytest.raises(ValueError, match="Expected each of `options`"):
        SshTransport("pi", [option])


def test_nothing_is_asked_for(sshd):
    # A question would wait for an answer that nobody gives.
    assert shutil.which("ssh")
    transport = sshd.transport("BatchMode=no", "PreferredAuthentications=password")
    with pytest.raises(DeviceError, match="refused the log-in"):
        transport.architecture()
