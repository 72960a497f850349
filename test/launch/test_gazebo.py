"""Gazebo's parts agree: URDF, world, controllers, bridge, robot file and the order of the launch.

Gazebo itself cannot run here.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import xacro
import yaml

from vla_ros.robot_config import load_robot
from vla_ros.sim.layout import HOME_RAD
from vla_ros.sim.scene import FRONT_CAMERA_M, FRONT_TARGET_M
from vla_ros.urdf import read_joints, rotation_from_rpy

ROOT = Path(__file__).parents[2]
CONTROLLERS = ROOT / "config/gazebo/controllers.yaml"
ROBOT = load_robot(ROOT / "config/panda.yaml")
# Optical frames look along z with y down; Gazebo's cameras look along x with z up.
OPTICAL_TO_GAZEBO = np.array([[0, -1, 0], [0, 0, -1], [1, 0, 0]])


@pytest.fixture(scope="module")
def urdf():
    path = str(ROOT / "description/panda.urdf.xacro")
    mappings = {"gazebo": "true", "controllers": str(CONTROLLERS)}
    return ElementTree.fromstring(xacro.process_file(path, mappings=mappings).toxml())


@pytest.fixture(scope="module")
def world():
    return ElementTree.parse(ROOT / "description/tabletop.sdf").getroot().find("world")


def joints_of(controller: str) -> list[str]:
    return yaml.safe_load(CONTROLLERS.read_text())[controller]["ros__parameters"]["joints"]


def controller_of(topic: str) -> str:
    return topic.strip("/").partition("/")[0]


def test_urdf_without_the_argument_knows_nothing_of_gazebo():
    text = xacro.process_file(str(ROOT / "description/panda.urdf.xacro")).toxml()
    for word in ("<gazebo", "<ros2_control", "<mimic", "gz_"):
        assert word not in text


def test_every_joint_that_is_commanded_is_driven_and_in_the_urdf(urdf):
    driven = {
        joint.get("name")
        for joint in urdf.find("ros2_control").findall("joint")
        if joint.find("command_interface[@name='position']") is not None
    }
    joints = read_joints(ElementTree.tostring(urdf, encoding="unicode"))
    assert tuple(joints_of(controller_of(ROBOT.arm_sink.topic))) == ROBOT.joints
    assert joints_of(controller_of(ROBOT.gripper_sink.topic)) == [ROBOT.gripper.joint]
    assert driven == {*ROBOT.joints, ROBOT.gripper.joint} <= joints.keys()


def test_the_other_finger_mimics_and_has_no_command(urdf):
    (other,) = [joint for joint in urdf.findall("joint") if joint.find("mimic") is not None]
    assert other.find("mimic").get("joint") == ROBOT.gripper.joint
    (ours,) = urdf.findall(f"ros2_control/joint[@name='{other.get('name')}']")
    assert ours.find("command_interface") is None
    assert ours.find("state_interface[@name='position']") is not None


def test_arm_stands_in_the_world_at_home(urdf):
    (fixed,) = [j for j in urdf.findall("joint") if j.find("parent").get("link") == "world"]
    assert fixed.find("child").get("link") == ROBOT.base_link
    path = "ros2_control/joint[@name='{}']/state_interface[@name='position']/param"
    start = [float(urdf.find(path.format(name)).text) for name in ROBOT.joints]
    np.testing.assert_allclose(start, HOME_RAD)


def test_every_link_has_a_mass_as_gazebo_drops_those_without(urdf):
    for link in urdf.findall("link"):
        if link.get("name") != "world":
            assert float(link.find("inertial/mass").get("value")) > 0
            assert float(link.find("inertial/inertia").get("ixx")) > 0


def test_controllers_are_found_and_set_as_streamed_points_need_it(urdf):
    plugin = urdf.find("gazebo/plugin")
    assert plugin.get("filename") == "gz_ros2_control-system"
    assert plugin.get("name") == "gz_ros2_control::GazeboSimROS2ControlPlugin"
    assert plugin.findtext("parameters") == str(CONTROLLERS)
    hardware = urdf.findtext("ros2_control/hardware/plugin")
    assert hardware == "gz_ros2_control/GazeboSimSystem"
    data = yaml.safe_load(CONTROLLERS.read_text())
    types = data.pop("controller_manager")["ros__parameters"]
    for name, entry in data.items():
        assert types[name]["type"] == "joint_trajectory_controller/JointTrajectoryController"
        parameters = entry["ros__parameters"]
        assert parameters["use_sim_time"] is True
        assert parameters["interpolate_from_desired_state"] is True
        assert parameters["allow_nonzero_velocity_at_trajectory_end"] is True
    arm = data[controller_of(ROBOT.arm_sink.topic)]["ros__parameters"]
    assert 0.2 <= arm["cmd_timeout"] <= 0.5


def test_world_has_its_systems(world):
    systems = {plugin.get("name").rpartition("::")[2]: plugin for plugin in world.findall("plugin")}
    assert {"Physics", "UserCommands", "SceneBroadcaster", "Sensors"} <= systems.keys()
    assert systems["Sensors"].findtext("render_engine") == "ogre2"
    for name, plugin in systems.items():
        assert plugin.get("name") == f"gz::sim::systems::{name}"
        assert plugin.get("filename").startswith("gz-sim-")
        assert plugin.get("filename").endswith("-system")


def test_names_in_the_world_are_unique_within_their_model(world):
    # The real parser refuses a joint with the name of a link.
    for scope in (world, *world.findall("model"), *world.findall("model/link")):
        names = [child.get("name") for child in scope if child.tag in ("model", "link", "joint")]
        assert len(names) == len(set(names))
        for kind in ("collision", "visual", "sensor"):
            named = [child.get("name") for child in scope.findall(kind)]
            assert len(named) == len(set(named))


def test_world_has_the_sizes_of_the_other_simulation(world):
    def numbers(path):
        return np.array(world.findtext(path).split(), float)

    model = pytest.importorskip("vla_ros.sim.scene").build_model(64)
    for path, geom in (
        ("model[@name='table']/link/visual", "table"),
        ("model[@name='cabinet']/link/visual[@name='top']", "cabinet_top"),
        ("model[@name='cabinet']/link/visual[@name='handle']", "handle"),
        ("model[@name='tray']/link/visual[@name='floor']", "tray0"),
    ):
        size = 2 * model.geom(geom).size
        np.testing.assert_allclose(numbers(f"{path}/geometry/box/size"), size)
        np.testing.assert_allclose(numbers(f"{path}/pose")[:3], model.geom(geom).pos)
    upper = "model[@name='cabinet']/joint[@name='drawer_joint']/axis/limit/upper"
    assert numbers(upper)[0] == model.joint("drawer").range[1]


def sensors(urdf, world) -> dict[str, ElementTree.Element]:
    """By the robot file's name of the camera."""
    found = [*world.iter("sensor"), *urdf.iter("sensor")]
    return {sensor.get("name").removesuffix("_camera"): sensor for sensor in found}


def test_cameras_are_those_of_the_robot_file_and_are_bridged(urdf, world):
    bridged = {
        entry["topic_name"]: entry
        for entry in yaml.safe_load((ROOT / "config/gazebo/bridge.yaml").read_text())
    }
    assert all(topic.startswith("/") for topic in bridged)
    assert {entry["direction"] for entry in bridged.values()} == {"GZ_TO_ROS"}
    assert bridged["/clock"]["ros_type_name"] == "rosgraph_msgs/msg/Clock"
    cameras = sensors(urdf, world)
    assert cameras.keys() == ROBOT.cameras.keys()
    for name, sensor in cameras.items():
        config = ROBOT.cameras[name]
        assert sensor.findtext("topic") == config.topic
        assert sensor.findtext("camera/optical_frame_id") == config.frame_id
        assert sensor.findtext("camera/image/format") == "R8G8B8"
        assert float(sensor.findtext("update_rate")) > 2 / config.max_age_s
        assert bridged[config.topic]["ros_type_name"] == "sensor_msgs/msg/Image"
        info = sensor.findtext("camera/camera_info_topic")
        assert bridged[info]["ros_type_name"] == "sensor_msgs/msg/CameraInfo"
        assert info == f"{config.topic.rpartition('/')[0]}/camera_info"


def test_cameras_look_where_those_of_the_other_simulation_do(urdf, world):
    def pose(element):
        return np.array(element.findtext("pose").split(), float)

    wrist = rotation_from_rpy(tuple(pose(urdf.find(".//sensor[@name='wrist_camera']"))[3:]))
    np.testing.assert_allclose(wrist, OPTICAL_TO_GAZEBO, atol=1e-6)
    front = pose(world.find("model[@name='front_camera']"))
    forward = rotation_from_rpy(tuple(front[3:]))[:, 0]
    way = FRONT_TARGET_M - FRONT_CAMERA_M
    np.testing.assert_allclose(front[:3], FRONT_CAMERA_M)
    np.testing.assert_allclose(forward, way / np.linalg.norm(way), atol=1e-5)
    model = pytest.importorskip("vla_ros.sim.scene").build_model(64)
    for name, sensor in sensors(urdf, world).items():
        assert sensor.findtext("camera/image/width") == sensor.findtext("camera/image/height")
        fov_deg = np.degrees(float(sensor.findtext("camera/horizontal_fov")))
        assert fov_deg == pytest.approx(model.camera(name).fovy[0], abs=1e-4)


def test_each_step_waits_for_the_one_before(describe):
    entities = describe("gazebo.launch.py")
    handlers = [e.event_handler for e in entities if type(e).__name__ == "RegisterEventHandler"]
    after = {id(h.target_action): h.on_exit[0] for h in handlers}
    (arm,) = [e for e in entities if getattr(e, "executable", "") == "create"]
    broadcaster = after[id(arm)]
    controllers = after[id(broadcaster)]
    vla = after[id(controllers)]
    assert broadcaster.arguments[0] == "joint_state_broadcaster"
    names = [controller_of(sink.topic) for sink in (ROBOT.arm_sink, ROBOT.gripper_sink)]
    assert controllers.arguments[:2] == names
    assert vla.source.path.endswith("vla.launch.py")
    for spawner in (broadcaster, controllers):
        assert spawner.arguments[-2:] == ["--switch-timeout", "30"]
    # Whoever waits is there before what it waits for can end.
    ends = entities.index(arm)
    assert all(entities.index(e) < ends for e in entities if hasattr(e, "event_handler"))


def test_gazebo_runs_from_the_start_and_everything_follows_its_clock(describe):
    entities = describe("gazebo.launch.py")
    (gazebo,) = [e for e in entities if type(e).__name__ == "IncludeLaunchDescription"]
    arguments = dict(gazebo.launch_arguments)["gz_args"]
    assert arguments[0] == "-r "
    assert arguments[1].if_value == "-s --headless-rendering "
    assert arguments[1].condition.name == "headless"
    for node in (e for e in entities if type(e).__name__ == "Node"):
        assert node.parameters[0]["use_sim_time"] is True
    (argument,) = [e for e in entities if getattr(e, "name", "") == "use_sim_time"]
    assert argument.choices == ["true"]
