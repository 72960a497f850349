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
    if path.exists() and not path.is_dir():
        raise ArgumentTypeError(f"{path} is a file; valid: a folder, which need not be there yet")
    _check_can_be_made(path)
    return path


def output_file(text: str) -> Path:
    """The `type` of an option for a file; its folder need not be there yet.

    Raises:
        ArgumentTypeError: It is a folder, or it cannot be written.
    """
    path = Path(text)
    if path.is_dir():
        raise ArgumentTypeError(f"{path} is a folder; valid: a file, which need not be there yet")
    _check_can_be_made(path.parent)
    return path


def write_text(path: Path, text: str) -> None:
    """Write a file, and make its folder first.

    Raises:
        OSError: It cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _check_can_be_made(folder: Path) -> None:
    """Refuse a folder that cannot be made or written to, by the nearest one that is there."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise ArgumentTypeError(f"{there} is a file; nothing can be in it")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ArgumentTypeError(f"{there} cannot be written to")
