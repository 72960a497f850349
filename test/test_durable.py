"""What is written survives a power cut: contents first, then the name, then the folder."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from vla_ros.durable import put_in_place, replace_file


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[str]]]:
    """What is pushed to the disk, in order: its name, and the names in its folder by then."""
    calls: list[tuple[str, list[str]]] = []
    fsync = os.fsync

    def noting(descriptor: int) -> None:
        fsync(descriptor)
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        folder = path if path.is_dir() else path.parent
        calls.append((path.name, sorted(entry.name for entry in folder.iterdir())))

    monkeypatch.setattr(os, "fsync", noting)
    return calls


def test_a_file_is_on_the_disk_before_its_name_and_its_name_when_it_returns(
    tmp_path: Path, synced: list[tuple[str, list[str]]]
) -> None:
    replace_file(tmp_path / "a.json", b"old")
    replace_file(tmp_path / "a.json", b"new")
    first = [(".a.json.partial", [".a.json.partial"]), (tmp_path.name, ["a.json"])]
    again = [(".a.json.partial", [".a.json.partial", "a.json"]), (tmp_path.name, ["a.json"])]
    assert synced == first + again
    assert (tmp_path / "a.json").read_bytes() == b"new"


def test_a_file_that_cannot_be_put_in_place_leaves_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(IsADirectoryError):
        replace_file(tmp_path / "taken", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_the_new_name_of_a_finished_file_is_on_the_disk(
    tmp_path: Path, synced: list[tuple[str, list[str]]]
) -> None:
    target = tmp_path / "videos/a.mp4"
    target.parent.mkdir()
    (tmp_path / "a.mp4").write_bytes(b"film")
    put_in_place(tmp_path / "a.mp4", target)
    assert synced == [("videos", ["a.mp4"])]
    assert target.read_bytes() == b"film"


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EIO])
def test_a_file_system_that_cannot_push_folders_is_written_to_and_a_broken_one_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    fsync = os.fsync

    def refuse_folders(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", refuse_folders)
    if number == errno.EINVAL:
        replace_file(tmp_path / "a.json", b"new")
    else:
        with pytest.raises(OSError, match="Input/output error"):
            replace_file(tmp_path / "a.json", b"new")
    assert (tmp_path / "a.json").read_bytes() == b"new"
