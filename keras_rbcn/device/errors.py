"""What went wrong between here and the device."""

from __future__ import annotations


class DeviceError(RuntimeError):
    """A device that cannot be reached or used, or a benchmark that failed on it."""
