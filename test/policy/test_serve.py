"""Options of `serve` that do not go together, and LeRobot where it is not installed."""

from __future__ import annotations

import argparse
import importlib.util

import pytest

from vla_ros import cli
from vla_ros.errors import ParameterError
from vla_ros.policy import serve
from vla_ros.share import share_path


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    serve.add_arguments(parser)
    return parser.parse_args(["--checkpoint", "none", *words])


def test_everything_wrong_is_told_at_once():
    words = ["--backend", "lerobot", "--precision", "int8", "--port", "-1", "--nice", "20"]
    with pytest.raises(ParameterError) as caught:
        serve.run(parse(*words))
    text = str(caught.value)
    assert len(caught.value.problems) == 4
    assert "--port: got -1; valid: 0 to 65535" in text
    assert "--nice: got 20; valid: 0 to 19" in text
    assert "--robot: goes with --backend lerobot, whose policies do not say what their" in text
    assert "--precision: int8 is not for --backend lerobot" in text


def test_our_own_checkpoints_need_no_robot_file():
    with pytest.raises(ParameterError, match="--robot: goes with --backend lerobot.*got --backend"):
        serve.run(parse("--robot", "panda.yaml"))


@pytest.mark.skipif(importlib.util.find_spec("lerobot") is not None, reason="lerobot is installed")
def test_without_lerobot_it_is_told_what_to_install(capsys):
    robot = str(share_path("config/panda.yaml"))
    words = ["serve", "--backend", "lerobot", "--robot", robot, "--checkpoint", "none"]
    assert cli.main(words) == cli.EXIT_ERROR
    assert "Python module 'lerobot' is missing" in capsys.readouterr().err
