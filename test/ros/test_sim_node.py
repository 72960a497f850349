"""The simulated robot behaves like a driver: it sends, obeys, refuses, holds and resets."""

from __future__ import annotations

import json
import math
import re
import signal
import subprocess
import sys
from array import array

import numpy as np
import pytest
import yaml
from builtin_interfaces.msg import Duration
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState
from std_msgs.msg import Bool, String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from vla_ros.errors import ParameterError, RobotFileError, SceneError
from vla_ros.ros.compressed_images import frame_from_compressed
from vla_ros.ros.convert import seconds_from_stamp
from vla_ros.ros.image_messages import frame_from_msg
from vla_ros.ros.sim_node import SimNode
from vla_ros.share import share_path
from vla_ros.sim.expert import Expert

ARM = tuple(f"panda_joint{i}" for i in range(1, 8))
FINGERS = ("panda_finger_joint1", "panda_finger_joint2")
ARM_TOPIC = "/panda_arm_controller/joint_trajectory"
HAND_TOPIC = "/panda_hand_controller/joint_trajectory"
BEST_EFFORT = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Client(Node):
    """A plain client of the driver: keeps what it hears, sends trajectories."""

    def __init__(self, context):
        super().__init__("client", context=context)
        self.images = {"front": [], "wrist": []}
        self.infos = {"front": [], "wrist": []}
        self.joints, self.clocks, self.successes, self.episodes = [], [], [], []
        for name in self.images:
            self._keep(Image, f"/camera/{name}/image_raw", self.images[name], BEST_EFFORT)
            self._keep(CameraInfo, f"/camera/{name}/camera_info", self.infos[name], BEST_EFFORT)
        self._keep(JointState, "/joint_states", self.joints, BEST_EFFORT)
        self._keep(Clock, "/clock", self.clocks, BEST_EFFORT)
        self._keep(Bool, "/sim_node/success", self.successes, LATCHED)
        self._keep(String, "/sim_node/episode", self.episodes, LATCHED)
        self.arm = self.create_publisher(JointTrajectory, ARM_TOPIC, 10)
        self.hand = self.create_publisher(JointTrajectory, HAND_TOPIC, 10)
        self.reset = self.create_client(Trigger, "/sim_node/reset")

    def _keep(self, kind, topic, kept, qos):
        self.create_subscription(kind, topic, kept.append, qos)

    @property
    def is_connected(self):
        sent = all(p.get_subscription_count() for p in (self.arm, self.hand))
        heard = self.joints and self.successes and self.episodes
        return sent and heard and self.reset.service_is_ready()

    @property
    def position(self):
        """Newest arm positions."""
        message = self.joints[-1]
        return np.array([message.position[list(message.name).index(name)] for name in ARM])

    @property
    def fingers(self):
        message = self.joints[-1]
        return np.array([message.position[list(message.name).index(name)] for name in FINGERS])

    @property
    def episode(self):
        """Newest `~/episode`."""
        return json.loads(self.episodes[-1].data)


def trajectory(positions, duration_s, velocities=(), names=ARM):
    point = JointTrajectoryPoint(positions=array("d", positions), velocities=array("d", velocities))
    seconds = int(duration_s)
    point.time_from_start = Duration(sec=seconds, nanosec=round((duration_s - seconds) * 1e9))
    return JointTrajectory(joint_names=list(names), points=[point])


@pytest.fixture
def start(context, spinner):
    """Start a simulated robot and a client that hears it."""
    made = []

    def start(**overrides):
        values = [Parameter(name, value=value) for name, value in overrides.items()]
        sim = SimNode(context=context, parameter_overrides=values)
        made.append(sim)
        client = Client(context)
        spinner.add(sim)
        spinner.add(client)
        spinner.until(lambda: client.is_connected, "the client hears the robot")
        return sim, client

    yield start
    for sim in made:
        sim.close()


def call_reset(spinner, sim, client, **parameters):
    """Set the parameters, reset, and return the service's answer."""
    results = sim.set_parameters([Parameter(k, value=v) for k, v in parameters.items()])
    assert all(result.successful for result in results), results
    future = client.reset.call_async(Trigger.Request())
    spinner.until(future.done, "reset answers")
    return future.result()


def stamps(messages):
    return np.array([seconds_from_stamp(message.header.stamp) for message in messages])


def test_a_camera_that_the_robot_file_wants_compressed_is(start, spinner, tmp_path):
    data = yaml.safe_load(share_path("config/panda.yaml").read_text())
    data["urdf"] = str(share_path("description/panda.urdf.xacro"))
    data["cameras"]["wrist"].update(topic="/wrist/compressed", transport="compressed")
    path = tmp_path / "panda.yaml"
    path.write_text(yaml.safe_dump(data))
    _, client = start(robot_file=str(path))
    images = []
    client.create_subscription(CompressedImage, "/wrist/compressed", images.append, BEST_EFFORT)
    spinner.until(lambda: images, "a compressed picture")
    assert frame_from_compressed(images[-1]).pixels.shape == (192, 192, 3)
    assert images[-1].header.frame_id == "wrist_camera_optical_frame"


def test_sensors_arrive_best_effort_at_their_rates(start, spinner):
    # Half as fast as reality and stamped with simulated time: a busy machine changes nothing.
    _, client = start(publish_clock=True, real_time_factor=0.5)
    spinner.until(lambda: len(client.images["wrist"]) >= 12, "12 pictures")
    for name in ("front", "wrist"):
        times = stamps(client.images[name])
        assert np.median(np.diff(times)) == pytest.approx(0.05, abs=0.001)
        frame = frame_from_msg(client.images[name][-1])
        assert frame.pixels.shape == (192, 192, 3)
        assert frame.pixels.std() > 10
    both = stamps(client.images["front"])[:10], stamps(client.images["wrist"])[:10]
    np.testing.assert_array_equal(*both)
    times = stamps(client.joints)
    assert np.median(np.diff(times)) == pytest.approx(0.01, abs=0.001)
    assert (np.diff(times) > 0).all()
    message = client.joints[-1]
    assert tuple(message.name) == (*ARM, *FINGERS)
    assert len(message.position) == len(message.velocity) == 9
    np.testing.assert_allclose(client.fingers, 0.04, atol=2e-3)


def test_without_a_clock_of_its_own_it_stamps_with_the_time_of_day(start, spinner):
    sim, client = start(camera_rate_hz=0.0)
    spinner.until(lambda: len(client.joints) > 20, "joint states")
    times = stamps(client.joints)
    now_s = sim.get_clock().now().nanoseconds * 1e-9
    assert (np.diff(times) > 0).all()
    assert 0 <= now_s - times[-1] < 1.0
    assert not client.clocks


@pytest.mark.parametrize(("name", "fovy_deg"), [("front", 45.0), ("wrist", 85.0)])
def test_camera_info_belongs_to_its_picture(start, spinner, name, fovy_deg):
    _, client = start(render_px=96)
    spinner.until(lambda: client.images[name] and client.infos[name], "picture and its info")
    info = client.infos[name][-1]
    image = next(i for i in client.images[name] if i.header.stamp == info.header.stamp)
    assert info.header.frame_id == image.header.frame_id == f"{name}_camera_optical_frame"
    assert (info.height, info.width) == (image.height, image.width) == (96, 96)
    assert math.degrees(2 * math.atan(48 / info.k[4])) == pytest.approx(fovy_deg, abs=2)
    assert info.k[0] == info.k[4] == info.p[0]


def test_trajectories_move_the_arm_and_the_gripper_there(start, spinner):
    _, client = start(camera_rate_hz=0.0, cmd_timeout=0.0)
    goal = client.position + np.array([0.3, 0.1, -0.2, 0.1, 0.2, -0.1, 0.3])
    order = [3, 0, 6, 2, 5, 1, 4]
    names = [ARM[i] for i in order]
    client.arm.publish(trajectory(goal[order], 0.8, velocities=[0.0] * 7, names=names))
    client.hand.publish(trajectory([0.0], 0.3, names=FINGERS[:1]))
    spinner.until(lambda: np.abs(client.position - goal).max() < 0.01, "the arm is there")
    spinner.until(lambda: client.fingers.max() < 0.002, "both fingers are shut")
    moving = np.stack([np.abs(np.array(m.velocity[:7])) for m in client.joints])
    assert moving.max() > 0.1


BAD = [
    trajectory([0.0] * 7, 0.5, names=("elbow", *ARM[1:])),
    trajectory([0.0] * 6, 0.5),
    trajectory([math.nan] * 7, 0.5),
    trajectory([0.0] * 7, 0.5, velocities=[math.inf] * 7),
    JointTrajectory(joint_names=list(ARM)),
]


def test_bad_trajectories_are_refused_and_the_arm_holds(start, spinner):
    _, client = start(camera_rate_hz=0.0)
    before = client.position
    for message in BAD:
        client.arm.publish(message)
    spinner.until(lambda: client.episode["arm"]["refused"] == len(BAD), "all are refused")
    assert client.episode["arm"]["accepted"] == 0
    heard = len(client.joints)
    spinner.until(lambda: len(client.joints) > heard + 30, "more joint states")
    np.testing.assert_allclose(client.position, before, atol=1e-3)


def test_trajectory_that_ends_in_the_past_is_refused(start, spinner):
    sim, client = start(camera_rate_hz=0.0)
    message = trajectory(client.position, 0.5)
    message.header.stamp.sec = sim.get_clock().now().nanoseconds // 10**9 - 10
    client.arm.publish(message)
    spinner.until(lambda: client.episode["arm"]["refused"] == 1, "it is refused")


def test_command_timeout_stops_an_arm_whose_commander_fell_silent(start, spinner):
    _, client = start(camera_rate_hz=0.0, cmd_timeout=0.2)
    goal = client.position + 0.2
    client.arm.publish(trajectory(goal, 0.5, velocities=[0.5] * 7))
    spinner.until(lambda: client.episode["arm"]["timeouts"] == 1, "the timeout")
    assert client.episode["arm"]["is_holding"]
    held = client.position
    heard = len(client.joints)
    spinner.until(lambda: len(client.joints) > heard + 30, "more joint states")
    np.testing.assert_allclose(client.position, held, atol=2e-3)


def test_reset_by_seed_gives_the_same_episode_and_first_pose(start, spinner):
    sim, client = start(camera_rate_hz=0.0)
    seen = []
    for seed in (5, 6, 5):
        client.arm.publish(trajectory(client.position + 0.2, 0.1))
        spinner.until(lambda: client.episode["arm"]["accepted"], "a command is taken")
        answer = call_reset(spinner, sim, client, seed=seed, task="push_object")
        assert answer.success
        episode = json.loads(answer.message)
        heard = len(client.joints)
        spinner.until(lambda heard=heard: len(client.joints) > heard + 2, "joint states after")
        assert (episode["seed"], episode["task"]) == (seed, "push_object")
        assert episode["color"] in episode["instruction"]
        assert (episode["direction"], episode["place"]) != ("", "")
        assert episode["success"] is False
        assert episode["time_s"] == 0
        seen.append((episode["instruction"], client.position))
    assert seen[0][0] == seen[2][0]
    np.testing.assert_allclose(seen[0][1], seen[2][1], atol=1e-4)
    assert np.abs(seen[0][1] - seen[1][1]).max() > 1e-3
    assert json.loads(answer.message)["episode"] == 4


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("task", "juggle", "'juggle' is unknown; valid: .*pick_object"),
        ("seed", -1, "seed"),
        ("wordings", "rude", "valid: seen, heldout"),
        ("real_time_factor", 2.0, "read at start"),
    ],
)
def test_bad_parameters_are_refused_with_a_reason(start, name, value, reason):
    sim, _ = start(camera_rate_hz=0.0)
    (result,) = sim.set_parameters([Parameter(name, value=value)])
    assert not result.successful
    assert re.search(reason, result.reason)


def test_impossible_episode_is_refused_and_the_running_one_goes_on(start, spinner):
    sim, client = start(camera_rate_hz=0.0)

    def refuse(**arguments):
        raise SceneError("no colour fits")

    sim.robot.world.reset = refuse
    answer = call_reset(spinner, sim, client, seed=1)
    assert not answer.success
    assert "no colour fits" in answer.message
    heard = len(client.joints)
    spinner.until(lambda: len(client.joints) > heard + 5, "joint states go on")


def test_success_of_the_expert_is_published(start, spinner):
    """The expert reads the scene directly but acts over topics, at 20 Hz of simulated time."""
    sim, client = start(
        task="close_drawer", seed=3, camera_rate_hz=0.0, publish_clock=True, real_time_factor=2.0
    )
    expert, world, due_s = Expert(sim.robot.world), sim.robot.world, 0.0
    assert client.successes[-1].data is False

    def act():
        nonlocal due_s
        if world.time_s >= due_s:
            due_s = world.time_s + 0.05
            action = expert.act()
            client.arm.publish(trajectory(action[:7], 0.05))
            client.hand.publish(trajectory([0.04 * action[7]], 0.05, names=FINGERS[:1]))
        return client.successes[-1].data

    spinner.until(act, "the expert succeeds", timeout_s=60)
    spinner.until(lambda: client.episode["success"], "the episode says so")
    assert client.episode["reward"] > 1.0
    assert 1.0 < client.episode["success_s"] <= client.episode["time_s"]
    answer = call_reset(spinner, sim, client, seed=4)
    assert answer.success
    spinner.until(lambda: client.successes[-1].data is False, "success is taken back")


def test_clock_runs_at_the_factor_and_never_goes_back(start, spinner):
    sim, client = start(camera_rate_hz=0.0, publish_clock=True, real_time_factor=0.5)
    spinner.until(lambda: len(client.clocks) > 50, "the clock runs")
    call_reset(spinner, sim, client, seed=1)
    began = sim.get_clock().now().nanoseconds * 1e-9
    first = len(client.clocks) - 1
    spinner.until(lambda: len(client.clocks) > first + 100, "the clock runs on")
    passed_s = sim.get_clock().now().nanoseconds * 1e-9 - began
    times = np.array([seconds_from_stamp(message.clock) for message in client.clocks])
    assert (np.diff(times) > 0).all()
    assert 0.3 < (times[-1] - times[first]) / passed_s < 0.7
    assert stamps(client.joints)[-1] <= times[-1] + 1e-9


@pytest.mark.parametrize(
    ("overrides", "error", "reason"),
    [
        ({"real_time_factor": 2.0}, ParameterError, "needs publish_clock"),
        ({"task": "juggle"}, ParameterError, "'juggle' is unknown"),
        ({"sead": 3}, ParameterError, "sead: there is no such parameter"),
        ({"robot_file": "/nowhere.yaml"}, RobotFileError, "nowhere"),
    ],
)
def test_wrong_start_is_refused_with_a_reason(context, overrides, error, reason):
    values = [Parameter(name, value=value) for name, value in overrides.items()]
    with pytest.raises(error, match=reason):
        SimNode(context=context, parameter_overrides=values)


def test_robot_file_of_another_arm_is_refused_with_all_problems(context, robot_file):
    values = [Parameter("robot_file", value=str(robot_file))]
    with pytest.raises(RobotFileError) as caught:
        SimNode(context=context, parameter_overrides=values)
    assert len(caught.value.problems) == 2
    assert "panda_joint1" in str(caught.value)
    assert "panda_finger_joint1" in str(caught.value)


@pytest.fixture
def start_process():
    made = []

    def start(*arguments):
        command = [sys.executable, "-m", "vla_ros.ros.sim_node", "--ros-args", *arguments]
        made.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
        return made[-1]

    yield start
    for process in made:
        process.kill()
        process.communicate()


def test_two_interrupts_in_a_row_end_the_process_in_order(context, spinner, start_process):
    process = start_process("-p", "camera_rate_hz:=5.0")
    client = Client(context)
    spinner.add(client)
    spinner.until(lambda: client.images["wrist"], "the process sends pictures", timeout_s=40)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=5)
    assert process.returncode == 0


def test_process_that_cannot_start_says_why_and_fails(start_process):
    process = start_process("-p", "task:=juggle")
    _, text = process.communicate(timeout=40)
    assert process.returncode == 1
    assert "'juggle' is unknown; valid:" in text
