"""The shipped checkpoints: each can be used as it lies there, and says how it came about."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from vla_ros.policy.check import check_fits
from vla_ros.policy.checkpoint import read_checkpoint, read_weights
from vla_ros.robot_config import load_robot

ROOT = Path(__file__).parents[2]
# By folder: the file of its last training.
TRAININGS = {"tabletop": "tabletop_disturbed.yaml", "tabletop_rtc": "tabletop_rtc.yaml"}
# Other folders and paths than those of the file, which the checkpoint names without their parents.
ELSEWHERE = {"data", "wordings"}


def test_every_checkpoint_is_known_here():
    assert {path.name for path in (ROOT / "checkpoints").iterdir()} == set(TRAININGS)


@pytest.mark.parametrize("name", TRAININGS)
def test_it_fits_the_panda_and_was_trained_as_its_file_says(name: str):
    folder = ROOT / "checkpoints" / name
    checkpoint = read_checkpoint(folder)
    check_fits(checkpoint.spec, load_robot(ROOT / "config/panda.yaml"))
    assert read_weights(folder)
    assert sum(path.stat().st_size for path in folder.iterdir()) < 30e6
    said = yaml.safe_load((ROOT / "config/train" / TRAININGS[name]).read_text())
    story = checkpoint.training
    wanted = {key: value for key, value in said.items() if key not in ELSEWHERE}
    assert {key: story.get(key) for key in wanted} == {**wanted, "lr": float(wanted["lr"])}
    assert story["finished"]


def test_one_of_them_continues_a_running_plan():
    assert read_checkpoint(ROOT / "checkpoints/tabletop_rtc").spec.prefix_steps == 4
