"""The command line: lazy, and clear about what is missing."""

from __future__ import annotations

import subprocess
import sys
import types
from importlib.util import find_spec

import pytest

from vla_ros import cli
from vla_ros.errors import SceneError


def command_module(run):
    """A subcommand's module with one option."""
    module = types.ModuleType("command")
    module.add_arguments = lambda parser: parser.add_argument("--seed", type=int, default=0)
    module.run = run
    return module


@pytest.fixture
def as_collect(monkeypatch):
    """Puts a module where `vla collect` finds its own."""

    def put(run):
        monkeypatch.setitem(sys.modules, "vla_ros.learn.collect", command_module(run))

    return put


def test_help_lists_every_command_and_imports_nothing_heavy():
    code = (
        "import sys; from vla_ros.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "heavy = {'torch', 'rclpy', 'mujoco', 'cv2'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    for name in cli.COMMANDS:
        assert name.split()[0] in result.stdout


@pytest.mark.parametrize("name", sorted(cli.COMMANDS))
def test_every_command_has_its_module(name):
    assert find_spec(cli.COMMANDS[name].module) is not None


def test_options_reach_the_command_and_its_status_is_returned(as_collect):
    as_collect(lambda arguments: arguments.seed)
    assert cli.main(["collect", "--seed", "7"]) == 7


def test_a_missing_dependency_is_named_with_its_cure(as_collect, monkeypatch, capsys):
    def run(arguments):
        import cv2  # noqa: F401

    as_collect(run)
    monkeypatch.setitem(sys.modules, "cv2", None)
    assert cli.main(["collect"]) == cli.EXIT_ERROR
    assert "pip install opencv-python-headless" in capsys.readouterr().err


def test_missing_ros_asks_for_a_ros_install(as_collect, monkeypatch, capsys):
    def run(arguments):
        import rclpy  # noqa: F401

    as_collect(run)
    monkeypatch.setitem(sys.modules, "rclpy", None)
    assert cli.main(["collect"]) == cli.EXIT_ERROR
    assert "source a ROS 2 install" in capsys.readouterr().err


def test_our_own_missing_module_is_a_bug_and_not_hidden(as_collect):
    def run(arguments):
        import vla_ros.no_such_module  # noqa: F401

    as_collect(run)
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        cli.main(["collect"])


def test_an_error_raised_on_purpose_ends_in_one_line(as_collect, capsys):
    def run(arguments):
        raise SceneError("task 'fly' is not one of: pick_object")

    as_collect(run)
    assert cli.main(["collect"]) == cli.EXIT_ERROR
    assert capsys.readouterr().err == "vla collect: task 'fly' is not one of: pick_object\n"


@pytest.mark.parametrize("words", [[], ["dance"], ["bench"]])
def test_a_wrong_command_ends_with_the_valid_ones(words, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(words)
    assert end.value.code == cli.EXIT_ERROR
    assert "usage" in capsys.readouterr().err
