"""RViz shows what the nodes publish: the arm, the cameras and the plan, for any robot file."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from vla_ros.robot_config import load_robot

ROOT = Path(__file__).parents[2]
CONFIG = yaml.safe_load((ROOT / "config/vla.rviz").read_text())["Visualization Manager"]
PANDA = load_robot(ROOT / "config/panda.yaml")


def displays(kind: str) -> list[dict]:
    return [entry for entry in CONFIG["Displays"] if entry["Class"].endswith(f"/{kind}")]


@pytest.fixture
def nodes(describe, context):
    """What rviz.launch.py starts, by name; the ghost's publisher under `ghost`."""

    def start(**given):
        (function,) = [
            entity.function
            for entity in describe("rviz.launch.py")
            if type(entity).__name__ == "OpaqueFunction"
        ]
        found = function(context(**given))
        return {"ghost" if n.namespace == "plan" else n.name: n for n in found}

    return start


def test_configuration_is_the_pandas():
    assert CONFIG["Global Options"]["Fixed Frame"] == PANDA.base_link
    images = [entry["Topic"]["Value"] for entry in displays("Image") if entry["Enabled"]]
    assert images == [camera.topic for camera in PANDA.cameras.values()]
    assert all(entry["Topic"]["Reliability Policy"] == "Best Effort" for entry in displays("Image"))
    names = [entry["Name"] for entry in CONFIG["Displays"]]
    assert len(names) == len(set(names))


def test_ghost_is_the_robot_that_its_own_publisher_describes(nodes):
    arm, ghost = displays("RobotModel")
    assert arm["Description Topic"]["Value"] == "/robot_description"
    assert 0 < ghost["Alpha"] < 1
    publisher = nodes()["ghost"]
    assert ghost["Description Topic"]["Value"] == f"/{publisher.namespace}/robot_description"
    assert publisher.parameters[0]["frame_prefix"] == f"{ghost['TF Prefix']}/"
    assert publisher.remappings == [("joint_states", "/vla_node/plan/joint_states")]
    anchor = nodes()["ghost_anchor"].arguments
    assert anchor[1::2] == [PANDA.base_link, f"{ghost['TF Prefix']}/{PANDA.base_link}"]


@pytest.mark.parametrize("file", ["ur5e", "kinova_gen3", "so101"])
def test_other_arms_take_the_pandas_place(nodes, file):
    robot = load_robot(ROOT / f"config/{file}.yaml")
    started = nodes(robot_file=str(robot.path))
    rviz = started["rviz2"]
    assert rviz.arguments[-2:] == ["--fixed-frame", robot.base_link]
    remapped = dict(rviz.remappings)
    for shown, camera in zip(PANDA.cameras.values(), robot.cameras.values(), strict=False):
        assert remapped[shown.topic] == camera.topic
    assert f'name="{robot.joints[0]}"' in started["ghost"].parameters[0]["robot_description"].value


def test_plan_of_a_node_in_a_namespace_is_found(nodes):
    started = nodes(namespace="lab")
    assert dict(started["ghost"].remappings)["joint_states"] == "/lab/vla_node/plan/joint_states"
    (markers,) = displays("MarkerArray")
    remapped = dict(started["rviz2"].remappings)
    assert remapped[markers["Topic"]["Value"]] == "/lab/vla_node/plan/markers"


def test_arm_is_described_only_where_no_driver_does_it(nodes):
    assert "robot_state_publisher" not in nodes()
    publisher = nodes(publish_description="true")["robot_state_publisher"]
    assert publisher.remappings == [("joint_states", PANDA.state.topic)]
    assert publisher.parameters[0]["frame_prefix"] == ""
