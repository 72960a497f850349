"""Files that are whole or absent, and still there after a power cut once written."""

from __future__ import annotations

import errno
import os
from pathlib import Path


def replace_file(path: Path, content: bytes) -> None:
    """Write `path` so that it holds either all of the old content or all of the new.

    Raises:
        OSError: It cannot be written, or not be seen to be on the disk.
    """
    # One name for all, which the next writer takes: a killed one leaves no more than that.
    temporary = path.with_name(f".{path.name}.partial")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        put_in_place(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def put_in_place(written: Path, path: Path) -> None:
    """Rename a file that is on the disk already, and see that its new name is there, too.

    Raises:
        OSError: It cannot be renamed, or its folder cannot be pushed to the disk.
    """
    written.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that cannot do that to a folder
            raise
    finally:
        os.close(folder)
