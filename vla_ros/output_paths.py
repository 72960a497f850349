"""Paths on a command line that a command writes to: looked at before hours are spent."""

from __future__ import annotations

import os
from argparse import ArgumentTypeError
from pathlib import Path


def output_folder(text: str) -> Path:
    """The `type` of an option for a folder, which need not be there yet.

    Raises:
        ArgumentTypeError: There is something else, or it cannot be made or written to.
    """
    path = Path(text)
    if _exists(path) and not path.is_dir():
        raise ArgumentTypeError(f"{path} is a file; valid: a folder, which need not be there yet")
    if path.is_symlink() and not path.exists():
        raise ArgumentTypeError(f"{path} is a link to {path.readlink()}, which is not there")
    _check_can_be_made(path)
    return path


def output_file(text: str) -> Path:
    """The `type` of an option for a file; its folder need not be there yet.

    Raises:
        ArgumentTypeError: It is a folder, or it cannot be written.
    """
    path = Path(text)
    if not _exists(path):
        _check_can_be_made(path.resolve().parent)
    elif path.is_dir():
        raise ArgumentTypeError(f"{path} is a folder; valid: a file, which need not be there yet")
    elif not os.access(path, os.W_OK):
        raise ArgumentTypeError(f"{path} cannot be written to")
    return path


def output_png(text: str) -> Path:
    """The `type` of an option for a picture, as `output_file`.

    Raises:
        ArgumentTypeError: It does not end in .png, or it cannot be written.
    """
    if Path(text).suffix.lower() != ".png":
        raise ArgumentTypeError(f"{text} is no picture's name; valid: a file that ends in .png")
    return output_file(text)


def write_text(path: Path, text: str) -> None:
    """Write a file, and make its folder first.

    Raises:
        OSError: It cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _exists(path: Path) -> bool:
    """Whether something is there; a name that cannot be asked for is refused."""
    try:
        return path.exists()
    except OSError as error:  # a name too long, a folder that one may not enter
        raise ArgumentTypeError(f"{path}: {error.strerror}") from error


def _check_can_be_made(folder: Path) -> None:
    """Refuse a folder that cannot be made or written to, by the nearest one that is there."""
    there = next(path for path in (folder, *folder.absolute().parents) if _exists(path))
    if not there.is_dir():
        raise ArgumentTypeError(f"{there} is a file; nothing can be in it")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ArgumentTypeError(f"{there} cannot be written to")
