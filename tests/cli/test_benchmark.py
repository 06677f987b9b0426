"""The command that measures files on a device."""

import json
import os
import signal
import threading
import time

import pytest
from devices import tflite_file
from outcomes import assert_user_error


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "my student.tflite"
    path.write_bytes(tflite_file(1000))
    return path


@pytest.fixture
def other(tmp_path):
    path = tmp_path / "teacher.tflite"
    path.write_bytes(tflite_file(4000))
    return path


def test_a_table_json_and_a_picture(run, fake_adb, model, other, arm_elf, tmp_path):
    outputs = tmp_path / "report.json", tmp_path / "latency.png"
    result = run(
        *("benchmark", model, "--float", other, "--int8", other, "--adb"),
        *("--serial", "0123", "--binary", arm_elf, "--threads", 2, "--runs", 9),
        *("--repeats", 2, "--json", outputs[0], "--plot", outputs[1]),
    )
    assert result.exit_code == 0, result.output
    assert "Pixel 6 (aarch64), 2 thread(s)" in result.stdout
    values = json.loads(outputs[0].read_text())
    assert [row["name"] for row in values["files"]] == ["1-bit", "float32", "int8"]
    assert (values["threads"], values["runs"], values["repeats"]) == (2, 9, 2)
    assert outputs[1].stat().st_size
    assert all(f"Wrote {output}" in result.stdout for output in outputs)
    assert fake_adb.serials == {"0123"}


def test_a_board(run, sshd, model, local_elf):
    options = [part for option in sshd.options for part in ("--ssh-option", option)]
    result = run(
        *("benchmark", model, "--ssh", "127.0.0.1", *options),
        *("--binary", local_elf, "--repeats", 1, "--cpu-mask", "0x1"),
    )
    assert result.exit_code == 0, result.output
    assert "CAUTION" in result.stdout
    assert not sshd.left_behind


def test_a_device_that_cannot_be_used_is_one_line(run, fake_adb, model, arm_elf):
    fake_adb.says("adb: no devices/emulators found")
    result = run("benchmark", model, "--adb", "--binary", arm_elf)
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: Cannot reach the Android device: there is no device")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "either --adb, or --ssh"),
        (["--adb", "--ssh", "pi"], "either --adb, or --ssh"),
        (["--ssh", "pi", "--serial", "1"], "--serial is for --adb"),
        (["--adb", "--ssh-option", "Port=1"], "--ssh-option is for --ssh"),
        (["--ssh", "-oX=1"], "host='-oX=1'"),
        (["--ssh", ""], "host=''"),
        (["--adb", "--cpu-mask", "x"], "received: --cpu-mask x"),
        (["--adb", "--threads", "0"], "--threads"),
        (["--adb", "--float", "none.tflite"], "there is no file 'none.tflite'"),
        (["--adb", "--plot", "latency.txt"], "does not end in .png"),
        (["--adb", "--json", "no/report.json"], "there is no folder 'no'"),
    ],
)
def test_slips_are_told(run, model, arm_elf, arguments, said):
    result = run("benchmark", model, "--binary", arm_elf, *arguments)
    assert_user_error(result, said)


def test_a_file_of_another_kind_is_told_before_the_device_is_asked(
    run, fake_adb, arm_elf
):
    fake_adb.says("adb: no devices/emulators found")
    result = run("benchmark", __file__, "--adb", "--binary", arm_elf)
    assert_user_error(result, "test_benchmark.py' is not one", "b'he c'")


def test_files_of_different_networks(run, fake_adb, model, other, arm_elf):
    command = ("benchmark", model, "--float", other, "--adb", "--binary", arm_elf)
    other.write_bytes(tflite_file(4000, outputs=[(1, 100)]))
    result = run(*command, "--repeats", 1)
    assert result.exit_code == 0, result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith("warning: The files give outputs of different shapes")
    fake_adb.says("adb: no devices/emulators found")
    other.write_bytes(tflite_file(4000, inputs=[(1, 16, 16, 3)]))
    assert_user_error(run(*command), "'float32' with (1, 16, 16, 3)")


def test_a_program_is_needed(run, model):
    assert_user_error(run("benchmark", model, "--adb"), "--binary")
    result = run("benchmark", model, "--adb", "--binary", model.parent)
    assert_user_error(result, "is a folder")


def test_an_output_does_not_replace_an_input(run, model, arm_elf):
    result = run("benchmark", model, "--adb", "--binary", arm_elf, "--json", arm_elf)
    assert_user_error(result, "named twice")
    assert arm_elf.read_bytes()[:4] == b"\x7fELF"


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_ends_with_nothing_left(run, fake_adb, model, arm_elf, stand_in):
    started = fake_adb.root / "started"
    stand_in.does(f"touch {started}; exec sleep 60")

    def interrupt():
        while not started.exists():
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    result = run("benchmark", model, "--adb", "--binary", arm_elf)
    thread.join()
    assert result.exit_code == 130
    assert "interrupted" in result.stderr
    assert not list(fake_adb.files.iterdir())
