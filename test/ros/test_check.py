"""`check` finds planted mistakes, each with its own sentence, and says when all is well."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import threading
import time
from types import SimpleNamespace

import numpy as np
import planted
import pytest
import yaml
from geometry_msgs.msg import TwistStamped
from planted import BEST_EFFORT, Plan
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.qos import QoSProfile
from robot_three import ROBOT_YAML, three_urdf
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Bool, Float64MultiArray, Int8

from vla_ros import cli
from vla_ros.policy_protocol import CameraSpec
from vla_ros.robot_config import load_robot
from vla_ros.ros.check.finding import Level
from vla_ros.ros.check.graph import check_graph
from vla_ros.share import share_path

CAMERAS = {
    name: {"topic": f"/{name}/image_raw", "max_age_s": 0.5, "frame_id": f"{name}_optical"}
    for name in ("front", "wrist")
}


# As far as the live check looks into a checkpoint.
SPEC = CameraSpec(name="front", height_px=32, width_px=32, resize="letterbox")
CHECKPOINT = SimpleNamespace(spec=SimpleNamespace(cameras=(SPEC,)))


@pytest.fixture
def put_up(tmp_path, context):
    """Put a planted graph up, and give its robot file."""
    (tmp_path / "three.urdf").write_text(three_urdf())

    @contextlib.contextmanager
    def put_up(plan, edit=lambda data: None):
        data = yaml.safe_load(ROBOT_YAML) | {"cameras": CAMERAS}
        edit(data)
        path = tmp_path / "three.yaml"
        path.write_text(yaml.safe_dump(data))
        nodes = [planted.Drivers(plan, context), planted.controller(plan, context)]
        nodes += [planted.rival(context)] if plan.with_rival else []
        nodes += [planted.ear(plan, context)] if plan.ear else []
        executor = SingleThreadedExecutor(context=context)
        for node in nodes:
            executor.add_node(node)
        thread = threading.Thread(target=spin, args=(executor,))
        thread.start()
        try:
            yield path
        finally:
            executor.shutdown()
            thread.join()
            for node in nodes:
                node.destroy_node()

    return put_up


@pytest.fixture
def check(put_up, context):
    """What `check` finds on a planted graph."""

    def check(plan, edit=lambda data: None, seconds=0.8):
        with put_up(plan, edit) as path:
            return list(check_graph(load_robot(path), CHECKPOINT, seconds, context))

    return check


def spin(executor):
    with contextlib.suppress(ExternalShutdownException):
        executor.spin()


def bad(findings):
    return [str(finding) for finding in findings if finding.level is not Level.OK]


def test_good_graph_is_in_order_within_ten_seconds(check):
    started_s = time.monotonic()
    findings = check(Plan())
    assert time.monotonic() - started_s < 10.0
    assert bad(findings) == []
    items = {finding.item for finding in findings}
    assert items >= {"clock", "camera front", "camera wrist", "joint states", "arm output"}


def test_others_on_the_topics_of_the_arm_are_no_mistake(check):
    plan = Plan(state_every=2, ear="rosbag2_recorder")
    assert bad(check(plan)) == []


@pytest.mark.parametrize("name", ["rosbag2_recorder", "vla_recorder", "_ros2cli_42"])
def test_who_records_the_commands_is_no_driver(check, name):
    (line,) = bad(check(Plan(arm_topic="/other/joint_trajectory", ear=name)))
    assert "no controller listens on /arm/joint_trajectory; " in line
    assert "JointTrajectory is listened to on: /hand/joint_trajectory, /other/joint_traj" in line


def test_the_command_tells_in_ten_seconds_that_the_set_up_is_good(
    put_up, described_checkpoint, capsys
):
    with put_up(Plan()) as path:
        started_s = time.monotonic()
        words = ["check", "--robot", str(path), "--checkpoint", str(described_checkpoint)]
        status = cli.main(words)
        took_s = time.monotonic() - started_s
    text = capsys.readouterr().out
    assert status == 0, text
    assert "0 warning(s), 0 error(s)" in text
    assert took_s < 10.0


def test_the_command_fails_on_a_mistake_of_the_graph(put_up, capsys):
    with put_up(Plan(frames=SWAPPED)) as path:
        status = cli.main(["check", "--robot", str(path), "--seconds", "0.8"])
    assert status == 1
    assert "the cameras are swapped" in capsys.readouterr().out


def test_every_planted_mistake_has_a_sentence_of_its_own():
    sentences = [sentence for _, sentence in (*MISTAKES.values(), *BUTTON_MISTAKES.values())]
    sentences += [
        text for _, text in (*ROBOT_FILE_MISTAKES.values(), *CHECKPOINT_MISTAKES.values())
    ]
    assert len(sentences) >= 20
    assert len(set(sentences)) == len(sentences)


def forward(data):
    data["actions"]["arm"].update(sink="forward_command")


SWAPPED = {"front": "wrist_optical", "wrist": "front_optical"}
JTC = {"joints": ["shoulder", "elbow", "wrist"]}
MISTAKES = {
    "missing camera": (
        Plan(frames={"wrist": "wrist_optical"}),
        "camera front: nobody publishes on /front/image_raw; pictures are on: /wrist/image_raw",
    ),
    "swapped cameras": (Plan(frames=SWAPPED), "camera front: .*the cameras are swapped: exchange"),
    "unknown frame": (
        Plan(frames={"front": "nose", "wrist": "wrist_optical"}),
        "camera front: its pictures are of frame 'nose', the robot file says 'front_optical'",
    ),
    "compressed on the raw topic": (
        Plan(image_type=CompressedImage),
        "camera front: /front/image_raw has type sensor_msgs/msg/CompressedImage; valid:",
    ),
    "wrong shape for the resize mode": (
        Plan(size=(48, 64)),
        "camera front: pictures of 64 x 48 .* resize mode letterbox pads with black 25%",
    ),
    "pictures too small": (Plan(size=(16, 16)), "16 x 16 are smaller than the checkpoint's 32"),
    "unknown encoding": (Plan(encoding="32FC1"), "camera front: image encoding '32FC1' is unknown"),
    "best-effort loss": (
        Plan(image_qos=BEST_EFFORT, is_lost=lambda count: count % 7 not in (0, 1, 3)),
        "camera front: [4-6]\\d% of [0-9]+ pictures got lost .*FASTRTPS_DEFAULT_PROFILES_FILE=",
    ),
    "every picture lost": (
        Plan(image_qos=BEST_EFFORT, is_lost=lambda count: True),
        "camera front: .* no picture arrived: .*FASTRTPS_DEFAULT_PROFILES_FILE=",
    ),
    "old pictures": (
        Plan(image_age_s=2.0),
        r"camera front: messages are 2\.0\d s old on arrival, max_age_s is 0.5",
    ),
    "pictures of the future": (
        Plan(image_age_s=-3.0),
        r"camera front: stamps are (3\.00|2\.9\d) s in the future; set the clocks",
    ),
    "frozen camera": (Plan(stamps_stand_still=True), "camera front: .* all have the same stamp"),
    "black camera": (
        # As dark as the node refuses: a covered lens has a little noise.
        Plan(paint=lambda name, count, size: planted.noise(name, count, size) // 17),
        "camera front: its pictures are black",
    ),
    "one camera under two names": (
        Plan(paint=lambda name, count, size: planted.noise("x", 0, size)),
        "camera wrist: shows the same picture as camera front",
    ),
    "missing joint": (
        Plan(names=("shoulder", "elbow", "finger"), position=(0.1, 0.2, 0.04)),
        "joint states: joint 'wrist' is not in the joint state; it has: shoulder, elbow, finger",
    ),
    "joint states in degrees": (
        Plan(position=(17.2, -11.5, 5.7, 0.04)),
        "joint states: shoulder is at 17.2, no angle in radians: the driver reports degrees",
    ),
    "arm outside its limits": (
        Plan(position=(2.5, 0.0, 0.0, 0.04)),
        "joint states: shoulder is at 2.500 rad, outside its limits -2.000 … 2.000",
    ),
    "stale joint states": (
        Plan(state_age_s=1.0),
        r"joint states: messages are 1\.0\d s old on arrival, max_age_s is 0.2",
    ),
    "joint states that are mostly a lift's": (
        Plan(state_every=10),
        r"joint states: \d\.\d Hz; at least 10 are needed",
    ),
    "no velocities": (Plan(with_velocity=False), "joint states: no velocities"),
    "joint states that nobody sends": (
        Plan(with_states=False),
        "joint states: nobody publishes on /joint_states; start joint_state_broadcaster",
    ),
    "slow clock": (Plan(clock=0.05), r"clock: /clock runs at 0\.0\d of real time"),
    "stale clock": (Plan(clock=0.0), "clock: /clock stands still at 5.000 s: a paused simulation"),
    "controller absent": (
        Plan(arm_topic="/other/joint_trajectory"),
        "arm output: no controller listens on /arm/joint_trajectory; .* on: .*/other/joint_traj",
    ),
    "controller of another type": (
        Plan(arm_type=Float64MultiArray),
        "arm output: /arm_controller takes std_msgs/msg/Float64MultiArray .* sends trajectory_msgs",
    ),
    "controller of other joints": (
        Plan(controller={"joints": ["joint1", "joint2"]}),
        "arm output: /arm_controller drives joint1, joint2; the robot file sends shoulder, elbow",
    ),
    "controller that refuses motion": (
        Plan(controller=JTC | {"allow_nonzero_velocity_at_trajectory_end": False}),
        "allow_nonzero_velocity_at_trajectory_end is false: every command in motion is refused",
    ),
    "controller that makes a sawtooth": (
        Plan(controller=JTC | {"interpolate_from_desired_state": False}),
        "interpolate_from_desired_state is false: streamed points give a sawtooth",
    ),
    "controller without a timeout": (
        Plan(controller=JTC | {"cmd_timeout": 0.0}),
        "cmd_timeout is 0: the last command is kept for ever",
    ),
    "controller that ignores its timeout": (
        Plan(controller=JTC | {"cmd_timeout": 0.3, "constraints.goal_time": 0.6}),
        "cmd_timeout is 0.3 s and constraints.goal_time 0.6 s: the controller ignores a timeout",
    ),
    "second commander": (Plan(with_rival=True), "arm output: /teleop commands on /arm/joint_traj"),
    "instruction nobody hears": (
        Plan(instruction_qos=BEST_EFFORT),
        "instruction: /drivers publishes on /vla/instruction best-effort",
    ),
    "instruction of another type": (
        Plan(instruction_qos=QoSProfile(depth=1), instruction_type=Bool),
        "instruction: /drivers publishes std_msgs/msg/Bool on /vla/instruction; valid: std_msgs/",
    ),
    "limits wider than the live robot's": (
        Plan(description=three_urdf().replace('upper="2"', 'upper="1.2"')),
        "robot_description: the upper limit of shoulder is 2.0000 in the robot file, wider than 1",
    ),
    "another robot": (
        Plan(description=three_urdf().replace("elbow", "knee")),
        "robot_description: the live robot has no joint 'elbow'; it has: shoulder, knee",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_planted_mistake_is_found_with_its_own_sentence(check, name):
    plan, sentence = MISTAKES[name]
    # A share of lost pictures needs many of them, on a busy machine too.
    lines = bad(check(plan, seconds=2.0 if name == "best-effort loss" else 0.8))
    matches = [line for line in lines if re.search(sentence, line)]
    assert matches, lines


STOP, DEADMAN = "/stop_button", "/held"


def with_buttons(data):
    data["safety"] = {"emergency_stop": {"topic": STOP}, "deadman": {"topic": DEADMAN}}


GOOD_BUTTONS = {STOP: (Bool, planted.LATCHED), DEADMAN: (Bool, BEST_EFFORT)}
BUTTON_MISTAKES = {
    "no emergency stop": (
        {DEADMAN: GOOD_BUTTONS[DEADMAN]},
        f"emergency stop: nobody publishes on {STOP}, so .* safety.emergency_stop.topic",
    ),
    "emergency stop of another type": (
        GOOD_BUTTONS | {STOP: (Int8, QoSProfile(depth=1))},
        f"emergency stop: /drivers publishes std_msgs/msg/Int8 on {STOP}, which .* cannot hear",
    ),
    "emergency stop that may get lost": (
        GOOD_BUTTONS | {STOP: (Bool, BEST_EFFORT)},
        f"emergency stop: /drivers publishes on {STOP} best-effort: a press may get lost",
    ),
    "no deadman": (
        {STOP: GOOD_BUTTONS[STOP]},
        f"deadman: nobody publishes on {DEADMAN}, so .* safety.deadman.topic",
    ),
    "deadman of another type": (
        GOOD_BUTTONS | {DEADMAN: (Int8, BEST_EFFORT)},
        f"deadman: /drivers publishes std_msgs/msg/Int8 on {DEADMAN}, which .* cannot hear",
    ),
}


def test_buttons_that_can_be_heard_are_in_order(check):
    findings = check(Plan(buttons=GOOD_BUTTONS), with_buttons)
    assert bad(findings) == []
    assert {"emergency stop", "deadman"} <= {finding.item for finding in findings}


@pytest.mark.parametrize("name", BUTTON_MISTAKES)
def test_mistake_of_a_button_is_found(check, name):
    buttons, sentence = BUTTON_MISTAKES[name]
    (line,) = bad(check(Plan(buttons=buttons), with_buttons))
    assert re.search(sentence, line), line


def compressed(data):
    data["cameras"] = CAMERAS | {"front": CAMERAS["front"] | {"transport": "compressed"}}


def test_compressed_camera_is_in_order_on_a_compressed_topic_alone(check):
    findings = check(Plan(image_type=CompressedImage), compressed)
    assert bad(findings) == []
    assert any("32 x 32 rgb8; jpeg compressed bgr8" in str(finding) for finding in findings)
    (line,) = bad(check(Plan(), compressed))
    assert "valid: sensor_msgs/msg/CompressedImage, by the transport compressed" in line


def test_mixed_up_order_of_a_forward_controller_is_found(check):
    plan = Plan(arm_type=Float64MultiArray, controller={"joints": ["elbow", "shoulder", "wrist"]})
    (line,) = bad(check(plan, forward))
    assert "takes its values in the order elbow, shoulder, wrist; the robot file sends" in line

    def in_order(data):
        forward(data)
        data["actions"]["arm"]["joints"] = ["elbow", "shoulder", "wrist"]

    assert bad(check(plan, in_order)) == []


SERVO_TOPIC = "/servo/delta_twist_cmds"


def servo(node):
    """Commands go to MoveIt Servo, whose parameters are those of `node`."""

    def edit(data):
        switch = {"switch": f"{node}/switch_command_type", "switch_by": "parameter"}
        data["actions"]["arm"].update(sink="servo_twist", topic=SERVO_TOPIC, **switch)

    return edit


def test_servo_must_be_there_to_choose_its_command_type(check):
    plan = Plan(arm_type=TwistStamped, arm_topic=SERVO_TOPIC)
    assert bad(check(plan, servo("/arm_controller"))) == []
    (line,) = bad(check(plan, servo("/servo")))
    assert "MoveIt Servo: /servo/set_parameters is not offered: without a command type" in line


def srdf(**tips):
    groups = "".join(
        f'<group name="{group}"><chain base_link="base" tip_link="{tip}"/></group>'
        for group, tip in tips.items()
    )
    return f'<robot name="three">{groups}</robot>'


SERVO_TIPS = {
    "its own tip": (srdf(arm="hand"), None),
    "a tip further out": (
        srdf(arm="tool"),
        "Servo's tip: Servo moves tool, the tip of group arm, which is 100 mm and 0 degrees from "
        "tip_link hand",
    ),
    "a turned tip": (srdf(arm="flange"), "which is 0 mm and 90 degrees from tip_link hand"),
    "the tip of the group that Servo names": (srdf(arm="hand", long="tool"), "Servo moves tool"),
    "no chain": (
        srdf(arm="lower", finger="tip"),
        "no group .* it has: arm to lower, finger to tip",
    ),
    "no XML": ("<robot", "/robot_description_semantic is no valid XML"),
}


@pytest.mark.parametrize("name", SERVO_TIPS)
def test_the_tip_that_servo_moves_is_compared_with_the_robot_files(check, tmp_path, name):
    semantic, sentence = SERVO_TIPS[name]

    def edit(data):
        servo("/arm_controller")(data)
        path = tmp_path / "three.urdf"
        more = "".join(
            f'<link name="{link}"/><joint name="to_{link}" type="fixed"><parent link="hand"/>'
            f'<child link="{link}"/><origin {origin}/></joint>'
            for link, origin in (("tool", 'xyz="0 0 0.1"'), ("flange", 'rpy="0 0 1.5708"'))
        )
        path.write_text(three_urdf().replace("</robot>", f"{more}</robot>"))

    plan = Plan(
        arm_type=TwistStamped,
        arm_topic=SERVO_TOPIC,
        semantic=semantic,
        controller={"moveit_servo.move_group_name": "long"},
    )
    lines = bad(check(plan, edit))
    if sentence is None:
        assert lines == []
    else:
        (line,) = lines
        assert re.search(sentence, line), line


def gripper_action(data):
    data["actions"]["gripper"].update(sink="gripper_command", topic="/hand/gripper_cmd")


def test_the_action_of_the_gripper_must_be_there_with_its_type(check):
    fibonacci = pytest.importorskip("test_msgs.action").Fibonacci
    (line,) = bad(check(Plan(), gripper_action))
    assert "action /hand/gripper_cmd is not offered; actions there: none" in line
    (line,) = bad(check(Plan(action=(fibonacci, "/hand/gripper_cmd")), gripper_action))
    assert "has type test_msgs/action/Fibonacci, the robot file's sink sends control_msgs" in line


def run_files(capsys, robot, checkpoint):
    status = cli.main(["check", "--robot", str(robot), "--checkpoint", str(checkpoint), "--no-ros"])
    return status, capsys.readouterr().out


@pytest.fixture
def panda(tmp_path):
    """Write a changed copy of the Panda's robot file."""

    def write(edit=lambda data: None):
        data = yaml.safe_load(share_path("config/panda.yaml").read_text())
        data["urdf"] = str(share_path("description/panda.urdf.xacro"))
        edit(data)
        path = tmp_path / "panda.yaml"
        path.write_text(yaml.safe_dump(data))
        return path

    return write


@pytest.fixture
def checkpoint(tmp_path, untrained_checkpoint):
    """Write a checkpoint whose config.json is changed."""

    def write(edit=lambda config: None):
        folder = tmp_path / "checkpoint"
        shutil.copytree(untrained_checkpoint, folder)
        config = json.loads((folder / "config.json").read_text())
        statistics = config["normalization"]
        statistics["feature_mean"][:7] = [0.0, 0.2, 0.0, -2.2, 0.0, 2.4, 0.8]
        statistics["feature_std"][:7] = [0.2] * 7
        edit(config)
        (folder / "config.json").write_text(json.dumps(config))
        return folder

    return write


def test_good_files_are_in_order(capsys, panda, checkpoint):
    status, text = run_files(capsys, panda(), checkpoint())
    assert status == 0, text
    assert "0 warning(s), 0 error(s)" in text


ROBOT_FILE_MISTAKES = {
    "wrong joint order": (lambda d: d["joints"].reverse(), "moving joints up to the tip are"),
    "degrees for radians": (
        lambda d: d["limits"].update(lower_rad=[-166.0, *[0.0] * 6]),
        "limits.lower_rad: -166.0 is wider than the URDF's -2.8973",
    ),
    "limits wider than the URDF": (
        lambda d: d["limits"].update(upper_rad=[3.0, 1.7, 2.8, -0.1, 2.8, 3.7, 2.8]),
        "limits.upper_rad: 3.0 is wider than the URDF's 2.8973",
    ),
    "camera of the checkpoint missing": (
        lambda d: (d["cameras"].pop("wrist"), d.pop("mirror")),
        "the checkpoint looks through 'wrist', the robot file has: front",
    ),
    "another robot": (lambda d: d.update(robot="ur5e"), "trained for 'panda', the file is of 'ur5"),
    "wrong meaning": (
        lambda d: d["actions"]["arm"].update(meaning="delta_joint_position"),
        "the policy's actions mean absolute_joint_position",
    ),
    "message package missing": (
        lambda d: d["actions"]["gripper"].update(sink="gripper_command", topic="/hand"),
        "apt install ros-$ROS_DISTRO-control-msgs",
    ),
}


@pytest.mark.parametrize("name", ROBOT_FILE_MISTAKES)
def test_mistake_in_the_robot_file_is_found(capsys, panda, checkpoint, name):
    if name == "message package missing":
        with pytest.raises(ImportError):
            import control_msgs  # noqa: F401
    edit, sentence = ROBOT_FILE_MISTAKES[name]
    status, text = run_files(capsys, panda(edit), checkpoint())
    assert status == 1
    assert sentence in text


def in_degrees(config):
    for key in ("feature_mean", "feature_std"):
        values = config["normalization"][key]
        config["normalization"][key] = [*np.degrees(values[:7]).tolist(), *values[7:]]


def beyond(config):
    config["normalization"]["feature_mean"][3] = 0.5


def fast(config):
    last = config["normalization"]["delta_std"][-1]
    last[0] = 50.0


CHECKPOINT_MISTAKES = {
    "missing statistics": (
        lambda c: c.pop("normalization"),
        "no normalisation statistics: without them the actions have no unit",
    ),
    "wrong resize": (
        lambda c: c["policy"]["cameras"][0].update(resize="stretch"),
        "resize 'stretch' is unknown",
    ),
    "wrong joint order": (
        lambda c: c["policy"]["state_names"].insert(0, c["policy"]["state_names"].pop(1)),
        "joints: the checkpoint's state is panda_joint2, panda_joint1",
    ),
    "data in degrees": (in_degrees, "the data are in degrees"),
    "data outside the limits": (beyond, "panda_joint4 was about 0.50"),
    "weights of another checkpoint": (
        lambda c: c.update(weights_sha256="0" * 64),
        "corrupt or of another checkpoint",
    ),
}


@pytest.mark.parametrize("name", CHECKPOINT_MISTAKES)
def test_mistake_in_the_checkpoint_is_found(capsys, panda, checkpoint, name):
    edit, sentence = CHECKPOINT_MISTAKES[name]
    status, text = run_files(capsys, panda(), checkpoint(edit))
    assert status == 1
    assert sentence in text


def test_data_faster_than_the_limits_is_a_warning(capsys, panda, checkpoint):
    status, text = run_files(capsys, panda(), checkpoint(fast))
    assert status == 0
    assert "warning  data and limits: panda_joint1 moved at" in text
