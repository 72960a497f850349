"""A folder that one process writes to at a time."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import IO


def lock_folder(folder: Path, name: str) -> IO[str] | None:
    """Take the lock of a folder; closing the file gives it back, as does the process's end.

    `lockf`, not `flock`: worker processes that outlive a killed one do not inherit it.

    Args:
        folder: It is there.
        name: File to lock, made when it is not there.

    Returns:
        The open file; `None` when another process has it.
    """
    lock = (folder / name).open("w")
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        lock.close()
        return None
    return lock
