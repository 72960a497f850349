"""A path that cannot be written to is refused before the command begins, by every command."""

from __future__ import annotations

import multiprocessing
import os
from argparse import ArgumentTypeError
from pathlib import Path

import pytest

from vla_ros import cli
from vla_ros.output_paths import output_file, output_folder, output_png, write_text


def test_what_is_there_or_can_be_made_is_taken(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for text in (".", "new", "new/deeper", str(tmp_path / "a" / "b")):
        assert output_folder(text) == Path(text)
    for text in ("new.json", "deeper/new.json", str(tmp_path / "a" / "new.json")):
        assert output_file(text) == Path(text)
    assert not any(tmp_path.iterdir())
    write_text(Path("deeper/new.json"), "{}")
    assert output_file("deeper/new.json").read_text() == "{}"


def test_what_is_something_else_is_refused_with_its_name(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("kept")
    with pytest.raises(ArgumentTypeError, match="file is a file; valid: a folder"):
        output_folder(str(file))
    with pytest.raises(ArgumentTypeError, match="is a folder; valid: a file"):
        output_file(str(tmp_path))
    for refuses in (output_folder, output_file):
        with pytest.raises(ArgumentTypeError, match="file is a file; nothing can be in it"):
            refuses(str(file / "below" / "more"))
    assert file.read_text() == "kept"


def test_a_name_that_is_too_long_or_a_link_to_nothing_is_refused(tmp_path: Path) -> None:
    for refuses in (output_folder, output_file):
        with pytest.raises(ArgumentTypeError, match="File name too long"):
            refuses(str(tmp_path / ("n" * 300)))
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "nowhere")
    with pytest.raises(ArgumentTypeError, match="link is a link to .*nowhere, which is not there"):
        output_folder(str(link))
    write_text(output_file(str(link)), "through the link")
    assert (tmp_path / "nowhere").read_text() == "through the link"
    link.unlink()
    link.symlink_to(tmp_path / "none" / "deeper")
    (tmp_path / "none").touch()
    with pytest.raises(ArgumentTypeError, match="none is a file; nothing can be in it"):
        output_file(str(link))


def test_what_one_may_not_write_or_enter_is_refused(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    tmp_path.chmod(0o755)
    Path("kept").write_text("kept")
    Path("kept").chmod(0o444)
    Path("closed").mkdir(mode=0)
    with multiprocessing.get_context("fork").Pool(1, initializer=_give_up_rights) as nobody:
        problems = {"kept": "kept cannot be written to", "closed/new": "new: Permission denied"}
        for name, problem in problems.items():
            with pytest.raises(ArgumentTypeError, match=problem):
                nobody.apply(output_file, (name,))
        assert nobody.apply(output_file, (os.devnull,)) == Path(os.devnull)


def _give_up_rights() -> None:
    """Become another user where the tests run as root, who may do everything."""
    if os.getuid() == 0:
        os.setuid(65534)


def test_a_picture_is_a_png() -> None:
    assert output_png("new.PNG") == Path("new.PNG")
    with pytest.raises(ArgumentTypeError, match=r"new.txt is no picture's name; valid: .*\.png"):
        output_png("new.txt")


COMMANDS = {
    "collect": "collect --out",
    "train": "train --data data --out",
    "evaluate's films": "evaluate --video",
    "evaluate's report": "evaluate --report",
    "evaluate's numbers": "evaluate --json",
    "ablate": "ablate --data data --out",
    "record": "record --robot robot.yaml --out",
    "demo": "demo --out",
    "replay": "replay --bag b --robot r.yaml --checkpoint c --json",
    "bench's numbers": "bench loop --json",
    "bench's picture": "bench loop --plot",
}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_refuses_a_path_below_a_file(tmp_path: Path, capsys, name: str) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(SystemExit) as exit_status:
        cli.main([*COMMANDS[name].split(), str(file / "below.png")])
    assert exit_status.value.code == cli.EXIT_ERROR
    option = COMMANDS[name].rpartition(" ")[2]
    assert f"argument {option}: {file} is a file; nothing can be in it" in capsys.readouterr().err
