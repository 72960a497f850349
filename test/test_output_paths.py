"""A path that cannot be written to is refused before the command begins, by every command."""

from __future__ import annotations

from argparse import ArgumentTypeError
from pathlib import Path

import pytest

from vla_ros import cli
from vla_ros.output_paths import output_file, output_folder, write_text


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
        cli.main([*COMMANDS[name].split(), str(file / "below")])
    assert exit_status.value.code == cli.EXIT_ERROR
    option = COMMANDS[name].rpartition(" ")[2]
    assert f"argument {option}: {file} is a file; nothing can be in it" in capsys.readouterr().err
