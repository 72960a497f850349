"""A folder that one process writes to at a time."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import IO

from vla_ros.errors import VlaError


def lock_folder(folder: Path, name: str) -> IO[str] | None:
    """Take the lock of a folder; closing the file gives it back, as does the process's end.

    `lockf`, not `flock`: worker processes that outlive a killed one do not inherit it.

    Args:
        folder: It is there.
        name: File to lock, made when it is not there.

    Returns:
        The open file; `None` when another process has it.

    Raises:
        VlaError: The file cannot be written.
    """
    try:
        lock = (folder / name).open("w")
    except OSError as error:
        raise VlaError(
            f"{folder / name}, which keeps other processes out, cannot be written: "
            f"{error.strerror}; remove it or choose another folder"
        ) from error
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        lock.close()
        return None
    return lock
