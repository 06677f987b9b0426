"""Exported files on a device: how long they take there."""

from keras_rbcn.device.adb import AdbTransport
from keras_rbcn.device.benchmarking import benchmark
from keras_rbcn.device.errors import DeviceError
from keras_rbcn.device.report import BenchmarkReport, FileTimings
from keras_rbcn.device.ssh import SshTransport

__all__ = [
    "AdbTransport",
    "BenchmarkReport",
    "DeviceError",
    "FileTimings",
    "SshTransport",
    "benchmark",
]
