"""The benchmark: over a real sshd, and with an adb for 64-bit ARM."""

import os
import re
import signal
import threading
import time

import pytest
from devices import DATA, elf_header, tflite_file

from keras_rbcn.device import AdbTransport, DeviceError, benchmark


@pytest.fixture
def one_file(files):
    """The file whose name has most in it."""
    return {"1-bit": files["1-bit"]}


def _timings(path, *milliseconds):
    """Outputs of the form of the recorded one, with other times."""
    text = (DATA / "lce_0.4_raspberry_pi_4.txt").read_text()
    outputs = []
    for number, average in enumerate(milliseconds):
        output = path / f"output_{number}"
        output.write_text(text.replace("(avg): 31420.6", f"(avg): {1000 * average:g}"))
        outputs.append(output)
    return outputs


def test_times_over_ssh(sshd, files, local_elf, stand_in, tmp_path):
    # Each round slower, as on a device that becomes hot.
    stand_in.prints(*_timings(tmp_path, 1, 10, 4, 1.5, 12, 5, 3, 14, 6))
    report = benchmark(files, sshd.transport(), local_elf, repeats=3, runs=7)
    latencies = {row.name: row.latencies for row in report.files}
    assert latencies == {
        "1-bit": (1, 1.5, 3),
        "float32": (10, 12, 14),
        "int8": (4, 5, 6),
    }
    assert [row.median for row in report.files] == [1.5, 12, 5]
    assert [row.bytes for row in report.files] == [1000, 2000, 3000]
    assert report.files[0].init == 1.471
    assert report.files[0].first_inference == 41.707
    assert [run.split("--graph=")[1] for run in stand_in.runs] == [
        "0.tflite",
        "1.tflite",
        "2.tflite",
    ] * 3
    assert all(run.startswith("--num_threads=1 --num_runs=7 ") for run in stand_in.runs)
    assert not sshd.left_behind


def test_times_of_another_machine_are_not_compared(sshd, one_file, local_elf):
    report = benchmark(one_file, sshd.transport(), local_elf, repeats=1)
    assert report.architecture == "x86_64"
    assert report.ratio("1-bit") is None
    assert "CAUTION" in str(report)


def test_times_over_adb(fake_adb, files, arm_elf, stand_in, tmp_path):
    stand_in.prints(*_timings(tmp_path, 2, 20, 5))
    report = benchmark(files, AdbTransport(), arm_elf, repeats=1)
    assert (report.device, report.architecture) == ("Pixel 6", "aarch64")
    assert report.ratio("1-bit") == 10
    assert report.ratio("int8") == 4
    assert not list(fake_adb.files.iterdir())


def test_what_is_pushed_is_the_files(fake_adb, files, arm_elf, stand_in):
    stand_in.does('cat "${3#--graph=}" | wc -c; cat ' + str(DATA / "all_same.txt"))
    sizes = []
    transport = AdbTransport()
    run_in = transport.run_in

    def noting(*arguments):
        result = run_in(*arguments)
        sizes.append(int(result.stdout.split()[0]))
        return result

    transport.run_in = noting
    benchmark(files, transport, arm_elf, repeats=1)
    assert sizes == [1000, 2000, 3000]


def test_programs_are_bound_to_cpus(sshd, one_file, local_elf, stand_in, tmp_path):
    stand_in.does(f"taskset -p $$ >{tmp_path}/mask; cat {DATA / 'all_same.txt'}")
    benchmark(one_file, sshd.transport(), local_elf, repeats=1, cpu_mask="0x01")
    assert (tmp_path / "mask").read_text().endswith("mask: 1\n")
    assert not sshd.left_behind


@pytest.mark.parametrize("mask", ["f0", "0xF0", "0X0f0"])
def test_the_mask_is_in_front_of_the_program(fake_adb, files, arm_elf, stand_in, mask):
    fake_adb.program("taskset", f'echo "$1" >>{fake_adb.root}/masks; shift; exec "$@"')
    report = benchmark(
        files, AdbTransport(), arm_elf, threads=4, repeats=1, cpu_mask=mask
    )
    assert (fake_adb.root / "masks").read_text().split() == ["f0"] * 3
    assert report.cpu_mask == "f0"
    assert "--num_threads=4" in stand_in.runs[0]


def test_a_mask_of_cpus_that_are_not_there(sshd, one_file, local_elf):
    mask = "f" * 16 + "0" * 64
    with pytest.raises(DeviceError, match="does not run programs on these CPUs"):
        benchmark(one_file, sshd.transport(), local_elf, cpu_mask=mask)
    assert not sshd.left_behind


def test_a_device_without_taskset(sshd, one_file, local_elf, monkeypatch):
    transport = sshd.transport()
    monkeypatch.setattr(transport, "has_program", lambda name: name != "taskset")
    with pytest.raises(DeviceError, match=r"no program 'taskset'.*leave the CPU mask"):
        benchmark(one_file, transport, local_elf, cpu_mask="1")
    assert not sshd.left_behind


def test_a_program_for_another_machine(sshd, one_file, arm_elf):
    with pytest.raises(DeviceError, match=r"x86_64.*built for aarch64"):
        benchmark(one_file, sshd.transport(), arm_elf)
    assert not sshd.left_behind


def test_a_device_that_cannot_run_the_program_after_all(sshd, one_file, local_elf):
    # It says that it is for this machine, and is not.
    local_elf.write_bytes(elf_header("x86_64"))
    with pytest.raises(DeviceError, match=r"failed on '.*': the device cannot run"):
        benchmark(one_file, sshd.transport(), local_elf)
    assert not sshd.left_behind


def test_a_device_with_too_little_space(sshd, files, local_elf):
    sshd.program("df", "echo '/dev/root 1000 999 1 100% /'")
    with pytest.raises(DeviceError, match=r"0\.0 MB of space left; .* need 1\.1 MB"):
        benchmark(files, sshd.transport(), local_elf)
    assert not sshd.left_behind


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (f"cat {DATA / 'unresolved_operator.txt'}; exit 1", "Larq Compute Engine's op"),
        ("echo hello", "printed no timings"),
        ("kill -9 $$", "killed on the device"),
        (f"cat {DATA / 'all_same.txt'}; exit 1", "exit status 1"),
    ],
)
def test_a_program_that_fails(sshd, one_file, local_elf, stand_in, body, said):
    stand_in.does(body)
    with pytest.raises(DeviceError, match=f"a file's .*failed on .*: .*{said}"):
        benchmark(one_file, sshd.transport(), local_elf)
    assert len(stand_in.runs) == 1
    assert not sshd.left_behind


def test_a_program_that_takes_too_long(sshd, one_file, local_elf, stand_in):
    stand_in.does("exec sleep 60")
    with pytest.raises(DeviceError, match="more than 1 seconds"):
        benchmark(one_file, sshd.transport(), local_elf, timeout=1)
    assert not sshd.left_behind


@pytest.mark.usefixtures("interruptible")
def test_an_interrupted_benchmark_leaves_nothing(
    sshd, one_file, local_elf, stand_in, tmp_path
):
    number = tmp_path / "number"
    stand_in.does(f"echo $$ >{number}; exec sleep 60")

    def interrupt():
        while not number.exists() or not number.read_text():
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        benchmark(one_file, sshd.transport(), local_elf)
    thread.join()
    assert not sshd.left_behind
    with pytest.raises(ProcessLookupError):
        os.kill(int(number.read_text()), 0)


def test_a_device_that_is_lost_is_said_with_the_folder(
    fake_adb, files, arm_elf, stand_in
):
    message = fake_adb.root / "message"
    stand_in.does(f"echo 'adb: device offline' >{message}; exit 1")
    with (
        pytest.warns(UserWarning, match=r"keras_rbcn_.* may be left on .*offline"),
        pytest.raises(DeviceError, match="failed on"),
    ):
        benchmark(files, AdbTransport(), arm_elf)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"files": {}}, "at least one file"),
        ({"threads": 0}, "threads=0"),
        ({"runs": 0}, "runs=0"),
        ({"repeats": -1}, "repeats=-1"),
        ({"threads": True}, "threads=True"),
        ({"runs": 2.5}, "runs=2.5"),
        ({"repeats": "3"}, "repeats='3'"),
        ({"cpu_mask": "x"}, "cpu_mask='x'"),
        ({"cpu_mask": ""}, "cpu_mask=''"),
        ({"cpu_mask": "0"}, "cpu_mask='0'"),
        ({"cpu_mask": "1; reboot"}, "cpu_mask="),
        ({"cpu_mask": "3", "threads": 3}, "one thread for each of the 2 CPU"),
    ],
)
def test_arguments_are_checked_before_the_device_is_asked(
    files, arm_elf, arguments, said
):
    values = {"files": files, "transport": None, "binary": arm_elf} | arguments
    with pytest.raises(ValueError, match=said):
        benchmark(**values)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"files": "m.tflite"}, "files='m.tflite'. Pass {'1-bit'"),
        ({"transport": "pi@host"}, "transport='pi@host'. Pass SshTransport"),
    ],
)
def test_arguments_of_other_types(files, arm_elf, arguments, said):
    values = {"files": files, "transport": None, "binary": arm_elf} | arguments
    with pytest.raises(TypeError, match=re.escape(said)):
        benchmark(**values)


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ([(1, 16, 16, 3)], "'int8' with (1, 16, 16, 3)"),
        ([(1, 3, 8, 8)], "'int8' with (1, 3, 8, 8)"),
        ([(1, 8, 8, 3), (1, 2)], "'int8' with (1, 2), (1, 8, 8, 3)"),
    ],
)
def test_files_that_take_other_inputs_are_not_compared(files, arm_elf, inputs, said):
    files["int8"].write_bytes(tflite_file(3000, inputs))
    received = f"received: '1-bit' with (1, 8, 8, 3), {said}. Their times"
    with pytest.raises(ValueError, match=re.escape(received)):
        benchmark(files, None, arm_elf)


@pytest.mark.usefixtures("fake_adb", "stand_in")
def test_files_that_give_other_outputs_are_warned_of(files, arm_elf):
    files["float32"].write_bytes(tflite_file(2000, outputs=[(1, 100)]))
    told = r"'1-bit' with \(1, 10\), 'float32' with \(1, 100\)"
    with pytest.warns(UserWarning, match=told) as warned:
        report = benchmark(files, AdbTransport(), arm_elf, repeats=1)
    assert [warning.filename for warning in warned] == [__file__]
    assert len(report.files) == 3


@pytest.mark.usefixtures("fake_adb", "stand_in")
def test_the_order_of_inputs_is_the_converters(files, arm_elf):
    shapes = [(1, 2), (1, 8, 8, 3)]
    files["int8"].write_bytes(tflite_file(3000, shapes))
    del files["float32"]
    files["1-bit"].write_bytes(tflite_file(1000, shapes[::-1]))
    assert len(benchmark(files, AdbTransport(), arm_elf, repeats=1).files) == 2


@pytest.mark.usefixtures("fake_adb", "stand_in")
def test_exported_files_are_of_one_network(arm_elf):
    exports = DATA.parent / "releases" / "0.1.0" / "exports"
    files = {
        name: exports / f"{file}.tflite"
        for name, file in (
            ("1-bit", "lce_one_float32"),
            ("float32", "litert_one_float32"),
            ("int8", "litert_one_int8_ends"),
        )
    }
    report = benchmark(files, AdbTransport(), arm_elf, repeats=1)
    assert [row.bytes for row in report.files] == [
        path.stat().st_size for path in files.values()
    ]


def test_damaged_files_are_found_before_the_device_is_asked(files, arm_elf):
    content = files["1-bit"].read_bytes()
    files["1-bit"].write_bytes(content[:100])
    with pytest.raises(ValueError, match=r"a file's .* is truncated or corrupted"):
        benchmark(files, None, arm_elf)


def test_files_are_looked_for_before_the_device_is_asked(files, arm_elf, tmp_path):
    with pytest.raises(FileNotFoundError):
        benchmark({"1-bit": tmp_path / "none"}, None, arm_elf)
    with pytest.raises(FileNotFoundError):
        benchmark(files, None, tmp_path / "none")
    with pytest.raises(IsADirectoryError):
        benchmark({"1-bit": tmp_path}, None, arm_elf)
