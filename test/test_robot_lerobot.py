"""The robot file's `lerobot`: what it gives, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from vla_ros.errors import RobotFileError
from vla_ros.robot_config import load_robot
from vla_ros.share import share_path

SAID = {
    "step_s": 0.05,
    "images": {"front": "observation.images.top"},
    "units": "degrees",
    "gripper": {"closed": 0, "open": 100},
}
ENTRIES = ["gripper", *[f"panda_joint{i}" for i in range(7, 0, -1)]]


@pytest.fixture
def write(tmp_path: Path):
    def change(**said) -> Path:
        data = yaml.safe_load(share_path("config/panda.yaml").read_text())
        data["urdf"] = str(share_path("description/panda.urdf.xacro"))
        edit = said.pop("edit", None)
        kept = {key: value for key, value in {**SAID, **said}.items() if value is not None}
        data["lerobot"] = kept
        if edit is not None:
            edit(data)
        path = tmp_path / "robot.yaml"
        path.write_text(yaml.safe_dump(data))
        return path

    return change


def test_what_is_left_out_is_the_robot_files_order(write):
    robot = load_robot(write())
    assert robot.lerobot.state == robot.lerobot.actions == robot.action_names
    assert (robot.lerobot.gripper_closed, robot.lerobot.gripper_open) == (0.0, 100.0)
    assert robot.lerobot.resize == "letterbox"


def test_the_order_may_be_another(write):
    robot = load_robot(write(state=ENTRIES, actions=ENTRIES))
    assert robot.lerobot.state == robot.lerobot.actions == tuple(ENTRIES)


def test_a_pose_of_the_tip_has_no_order_to_give(write):
    def pose(data):
        data["actions"]["arm"]["meaning"] = "absolute_tip_pose"

    assert load_robot(write(edit=pose)).lerobot.actions is None
    with pytest.raises(RobotFileError, match=r"lerobot.actions: absolute_tip_pose has an order of"):
        load_robot(write(edit=pose, actions=ENTRIES))


def test_without_the_section_there_is_none():
    assert load_robot(share_path("config/panda.yaml")).lerobot is None


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"images": {"top": "a"}}, "lerobot.images.top: there is no such camera; valid: front, wr"),
        ({"images": {"front": "a", "wrist": "a"}}, "lerobot.images: two cameras have the same key"),
        (
            {"state": ENTRIES[1:]},
            "lerobot.state: has panda_joint7, .*valid: these once each",
        ),
        (
            {"actions": [*ENTRIES[:-1], "j"]},
            "lerobot.actions: has gripper, .*, j; valid: these",
        ),
        ({"units": "turns"}, "lerobot.units: 'turns' is not one of .*'percent'"),
        ({"units": None}, "lerobot: 'units' is a required property"),
        ({"step_s": 0}, "lerobot.step_s: 0 is less than or equal to .*seconds"),
        ({"gripper": None}, "lerobot.gripper: the robot has a gripper; say its numbers"),
        ({"gripper": {"closed": 1, "open": 1}}, "lerobot.gripper: closed and open are both 1"),
        ({"fps": 20}, "lerobot: .*'fps' was unexpected.*valid keys: step_s, images, units"),
        (
            {"edit": lambda d: d["actions"]["gripper"].update(meaning="closed_fraction")},
            "actions.gripper.meaning: closed_fraction does not go with lerobot",
        ),
        (
            {"edit": lambda d: (d.pop("gripper"), d["actions"].pop("gripper"))},
            "lerobot.gripper: the robot has no gripper; remove it",
        ),
    ],
)
def test_a_problem_is_named(write, said, message):
    with pytest.raises(RobotFileError, match=message):
        load_robot(write(**said))
