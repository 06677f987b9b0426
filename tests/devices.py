"""Devices for tests: a real local sshd, and an `adb` that answers as the real one."""

import getpass
import os
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import flatbuffers
import pytest
from larq_compute_engine.mlir.python import tflite_schema as schema

from keras_rbcn.device import AdbTransport, SshTransport

DATA = Path(__file__).parent / "data" / "benchmark"
# .ci/run sets it: there, a missing sshd is a mistake of the set-up.
REQUIRED = "KERAS_RBCN_REQUIRE_SSHD"
MACHINES = {"arm": 40, "x86_64": 62, "aarch64": 183}


def elf_header(machine="aarch64", bits=64):
    """The beginning of a program for a machine."""
    identification = b"\x7fELF" + bytes([{32: 1, 64: 2}[bits], 1, 1]) + bytes(9)
    return identification + struct.pack("<HH", 2, MACHINES[machine]) + bytes(64)


def running_elf(script):
    """A program for x86-64 Linux that does nothing but run another, by execve.

    So that what is benchmarked is a program that the kernel knows, without a compiler.
    """
    address, headers = 0x400000, 64 + 56
    code = (
        b"\x48\x8d\x74\x24\x08"  # lea rsi, [rsp + 8]: the arguments
        b"\x48\x8b\x04\x24"  # mov rax, [rsp]: how many they are
        b"\x48\x8d\x54\xc4\x10"  # lea rdx, [rsp + 8 * rax + 16]: the environment
        b"\x48\x8d\x3d\x13\x00\x00\x00"  # lea rdi, [rip + 19]: the path, below
        b"\xb8\x3b\x00\x00\x00\x0f\x05"  # mov eax, 59; syscall: execve
        b"\xbf\x7f\x00\x00\x00"  # mov edi, 127
        b"\xb8\xe7\x00\x00\x00\x0f\x05"  # mov eax, 231; syscall: exit_group
    ) + bytes(script)
    size = headers + len(code) + 1
    header = elf_header("x86_64")[:20] + struct.pack(
        "<IQQQIHHHHHH", 1, address + headers, 64, 0, 0, 64, 56, 1, 0, 0, 0
    )
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, address, address, size, size, 4096)
    return header + segment + code + b"\0"


def tflite_file(size, inputs=((1, 8, 8, 3),), outputs=((1, 10),)):
    """A .tflite file of so many bytes with inputs and outputs, and no operators."""
    graph, buffer = schema.SubGraphT(), schema.BufferT()
    graph.tensors, buffers = [], [buffer]
    for shape in (*inputs, *outputs):
        tensor = schema.TensorT()
        tensor.shape, tensor.name = list(shape), f"tensor {len(buffers)}"
        tensor.buffer = len(buffers)
        buffers.append(buffer)
        graph.tensors.append(tensor)
    graph.inputs = list(range(len(inputs)))
    graph.outputs = list(range(len(inputs), len(graph.tensors)))
    model = schema.ModelT()
    model.version, model.subgraphs, model.buffers = 3, [graph], buffers
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    content = bytes(builder.Output())
    assert len(content) <= size
    return content.ljust(size, b"\0")


class StandIn:
    """A benchmark program that prints what a test says, and notes how it was run."""

    def __init__(self, folder):
        self.script = folder / "stand_in"
        self._log = folder / "runs"
        self._turn = folder / "turn"
        self.prints(DATA / "tensorflow_2.16_aarch64.txt")

    def prints(self, *files):
        """Lets it print files, one at each run, and the last one from then on."""
        names = " ".join(shlex.quote(str(file)) for file in files)
        self.does(
            f"set -- {names}; turn=$(cat {shlex.quote(str(self._turn))} 2>/dev/null)\n"
            f"echo $((turn + 1)) >{shlex.quote(str(self._turn))}\n"
            'while [ "${turn:-0}" -gt 0 ] && [ $# -gt 1 ]\n'
            "do shift; turn=$((turn - 1)); done\n"
            'cat "$1"'
        )

    def does(self, body):
        """Lets it run a shell script."""
        log = shlex.quote(str(self._log))
        self.script.write_text(f'#!/bin/sh\necho "$*" >>{log}\n{body}\n')
        self.script.chmod(0o755)

    @property
    def runs(self):
        """The arguments of each run."""
        return self._log.read_text().splitlines() if self._log.exists() else []


@pytest.fixture
def stand_in(tmp_path):
    folder = tmp_path / "stand_in"
    folder.mkdir()
    return StandIn(folder)


def _write_program(path, text):
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(text)
    path.chmod(0o755)


# An adb that runs on this machine what it is told to run on the device. `message` is
# what it says instead, on the standard error stream.
_ADB = """#!/bin/sh
[ "$1" = -s ] && { echo "$2" >>%(root)s/serials; shift 2; }
message=$(cat %(root)s/message 2>/dev/null)
if [ -n "$message" ]; then printf '%%s\\n' "$message" >&2; exit 1; fi
case $1 in
push)
  cp -- "$2" "$3" || exit 1
  echo "$2: 1 file pushed, 0 skipped. 45.5 MB/s (1 bytes in 0.1s)" ;;
shell) PATH=%(root)s/bin:$PATH exec sh -c "$2" ;;
esac
"""


class FakeAdb:
    """The device behind the `adb`: its files, and its programs."""

    def __init__(self, root, stand_in):
        self.root = root
        self.files = root / "files"
        self.files.mkdir(parents=True)
        self.program("uname", "echo aarch64")
        self.program("getprop", "echo Pixel 6")
        # The pushed program is for another machine, and cannot run here.
        script = shlex.quote(str(stand_in.script))
        self.program(
            "chmod",
            f'for last; do :; done; cp {script} "$last"; exec {_CHMOD} 700 "$last"',
        )

    def program(self, name, body):
        """Gives the device a program, instead of this machine's."""
        _write_program(self.root / "bin" / name, f"#!/bin/sh\n{body}\n")

    def says(self, message):
        """Lets `adb` fail with a message."""
        (self.root / "message").write_text(message)

    @property
    def serials(self):
        """The serials that were asked for."""
        return set((self.root / "serials").read_text().split())


_CHMOD = shutil.which("chmod")


@pytest.fixture
def fake_adb(tmp_path, monkeypatch, stand_in):
    """An `adb` on the PATH, with a device for 64-bit ARM."""
    root = tmp_path / "adb"
    adb = FakeAdb(root, stand_in)
    _write_program(root / "host" / "adb", _ADB % {"root": shlex.quote(str(root))})
    monkeypatch.setenv("PATH", f"{root / 'host'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(AdbTransport, "_BASE", str(adb.files))
    return adb


class Sshd:
    """A running sshd: how to reach it, and where its users' files are."""

    def __init__(self, folder, port):
        self.folder = folder
        self.home = folder / "home"
        self.bin = folder / "bin"
        self.options = [
            f"Port={port}",
            f"IdentityFile={folder / 'user_key'}",
            "IdentitiesOnly=yes",
            f"UserKnownHostsFile={folder / 'known_hosts'}",
            "GlobalKnownHostsFile=none",
            "StrictHostKeyChecking=yes",
        ]

    def transport(self, *options):
        """A way to it; these options come before its own."""
        return SshTransport(f"{getpass.getuser()}@127.0.0.1", [*options, *self.options])

    def program(self, name, body):
        """Gives it a program, instead of this machine's."""
        _write_program(self.bin / name, f"#!/bin/sh\n{body}\n")

    @property
    def left_behind(self):
        """What is in the home folder."""
        return sorted(path.name for path in self.home.iterdir())


def _sshd_program():
    found = shutil.which("sshd", path=os.pathsep.join([os.environ["PATH"], *_SBIN]))
    if found is None:
        reason = "no sshd on this machine: install openssh-server"
        if os.environ.get(REQUIRED):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


_SBIN = ["/usr/sbin", "/usr/local/sbin", "/sbin"]


def make_key(path):
    """Makes a key of ssh without a password."""
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True
    )


def _free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _wait_for(port, process, log):
    for _ in range(200):
        if process.poll() is not None:
            pytest.fail(f"sshd ended: {log.read_text()}")
        with socket.socket() as trial:
            if not trial.connect_ex(("127.0.0.1", port)):
                return
        time.sleep(0.05)
    pytest.fail(f"sshd does not listen: {log.read_text()}")


@pytest.fixture(scope="session")
def _running_sshd(tmp_path_factory):
    """A real sshd of the current user, with keys, port and settings of its own."""
    program = _sshd_program()
    folder = tmp_path_factory.mktemp("sshd")
    port = _free_port()
    for name in ("host_key", "user_key"):
        make_key(folder / name)
    shutil.copy(folder / "user_key.pub", folder / "authorized_keys")
    kind, key, *_ = (folder / "host_key.pub").read_text().split()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {kind} {key}\n")
    if os.getuid() == 0:  # sshd insists on it, then.
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    home, programs = (shlex.quote(str(folder / name)) for name in ("home", "bin"))
    (folder / "config").write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {folder / 'host_key'}\n"
        f"AuthorizedKeysFile {folder / 'authorized_keys'}\nPidFile none\n"
        "PasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\n"
        "PermitRootLogin prohibit-password\nStrictModes no\n"
        # A home of its own, and programs that a test puts in front of this machine's.
        f"ForceCommand cd {home} && PATH={programs}:$PATH && export PATH && "
        'eval "$SSH_ORIGINAL_COMMAND"\n'
    )
    log = folder / "log"
    with log.open("w") as stream:
        process = subprocess.Popen(
            [program, "-D", "-e", "-f", str(folder / "config")],
            stdin=subprocess.DEVNULL,
            stderr=stream,
        )
    try:
        _wait_for(port, process, log)
        yield Sshd(folder, port)
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
def sshd(_running_sshd):
    """The sshd, with nothing in its home folder and no programs of a test."""
    for folder in (_running_sshd.home, _running_sshd.bin):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    return _running_sshd


@pytest.fixture
def local_elf(tmp_path, stand_in):
    """A program that runs here, and is the stand-in."""
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        pytest.skip("the program of these tests is for Linux on x86-64")
    path = tmp_path / "lce_benchmark_model"
    path.write_bytes(running_elf(os.fsencode(stand_in.script)))
    return path


@pytest.fixture
def arm_elf(tmp_path):
    """A program for 64-bit ARM; no more than its beginning."""
    path = tmp_path / "lce_benchmark_model_aarch64"
    path.write_bytes(elf_header("aarch64"))
    return path


@pytest.fixture
def interruptible():
    """Ctrl-C raises, also where the tests run in the background of a shell."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
