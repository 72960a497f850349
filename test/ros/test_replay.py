"""A recorded run goes through the node again: the same commands, and a change is noticed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from bag_recorder import BagRecorder, topics_of_run
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import PoseStamped, TwistStamped
from rclpy.serialization import deserialize_message
from ros_bench import ACTIVATE, CONFIGURE, Bench
from ros_fakes import FakePolicy, values
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from vla_ros.cli import main
from vla_ros.datatypes import Observation, RobotState
from vla_ros.errors import NodeError
from vla_ros.robot_config import load_robot
from vla_ros.ros.bag_file import read_messages
from vla_ros.ros.mcap_file import Stamped, write_mcap
from vla_ros.ros.replay_bag import RecordedPlan, Recording, by_tick
from vla_ros.ros.replay_difference import compare
from vla_ros.ros.replay_node import STATUS, nanoseconds
from vla_ros.ros.replay_run import first_period_s
from vla_ros.ros.replay_topics import stamped_topics
from vla_ros.ros.replay_worker import ReplayWorker

SHIPPED = Path(__file__).parents[1] / "replay"
RUN, PANDA, CHECKPOINT = SHIPPED / "run.mcap", SHIPPED / "panda.yaml", SHIPPED / "checkpoint"


def replay(bag: Path, robot_file: Path, checkpoint: Path, *more: str) -> int:
    words = ["--bag", str(bag), "--robot", str(robot_file), "--checkpoint", str(checkpoint)]
    return main(["replay", *words, *more])


def record(bench: Bench, spinner, context, robot_file: Path, checkpoint: Path, path: Path) -> Path:
    """A run of some hundred ticks with a change of mind, written to `path`."""
    recorder = BagRecorder(topics_of_run(load_robot(robot_file), ("front",)), context)
    spinner.add(recorder)
    bench.start_with(None, checkpoint=str(checkpoint), policy="in_process")
    assert bench.change(CONFIGURE)
    bench.until(lambda: bench.node.session.worker.is_ready, "the policy is loaded", 150.0)
    bench.client.play()
    bench.until(bench.connected, "discovery")
    assert bench.change(ACTIVATE)
    bench.until_status("waiting_for_instruction")
    bench.client.say("sway left")
    bench.until(lambda: len(bench.client.arm) > 100, "commands")
    bench.client.say("sway right")
    bench.until(lambda: len(bench.client.arm) > 200, "commands")
    return recorder.write(path)


def test_a_run_just_recorded_gives_the_same_commands(
    bench, spinner, context, robot_file, checkpoint, tmp_path, capsys
):
    bag = record(bench, spinner, context, robot_file, checkpoint, tmp_path / "run.mcap")
    assert replay(bag, robot_file, checkpoint, "--tolerance", "1e-6") == 0, capsys.readouterr().out


def seen_at(stamp_s: float) -> Observation:
    state = RobotState(
        position_rad=np.zeros(3), velocity_rad_s=np.zeros(3), gripper_open=1.0, stamp_s=stamp_s
    )
    return Observation(frames={}, state=state, instruction="sway", epoch=1, stamp_s=stamp_s)


def test_a_slow_policy_asked_again_in_the_tick_of_its_plan_takes_as_long_as_recorded():
    plans = [RecordedPlan(start_s=1.0, used_s=1.4), RecordedPlan(start_s=1.35, used_s=1.7)]
    worker = ReplayWorker(FakePolicy(), plans)
    assert worker.request(seen_at(1.0), now_s=1.1)
    assert worker.poll(1.3) is None
    assert worker.poll(1.4).start_s == 1.0
    assert worker.request(seen_at(1.35), now_s=1.4)
    assert worker.poll(1.6) is None
    assert worker.poll(1.7).start_s == 1.35
    assert not worker.request(seen_at(1.65), now_s=1.7), "nothing more was recorded"


def test_the_shipped_run_gives_the_commands_that_it_gave(tmp_path, capsys):
    status = replay(RUN, PANDA, CHECKPOINT, "--json", str(tmp_path / "replay.json"))
    text = capsys.readouterr().out
    assert status == 0, text
    assert "those of the recording" in text
    assert "not in the bag" not in text
    report = json.loads((tmp_path / "replay.json").read_text())
    assert report["is_same"]
    assert [topic["topic"] for topic in report["topics"]] == [
        "/panda_arm_controller/joint_trajectory",
        "/panda_hand_controller/joint_trajectory",
    ]
    assert all(topic["commands"] > 200 for topic in report["topics"])


def test_what_was_heard_between_two_ticks_is_given_in_the_order_of_the_stamps():
    robot, cameras = load_robot(PANDA), ("front", "wrist")
    recording = Recording(RUN, robot, cameras, "/vla_node/status")
    recording.ticks = recording.ticks[::40]  # several pictures of each camera between two of them
    kinds = dict(stamped_topics(robot, cameras).values())
    together = 0
    for number in range(len(recording.ticks)):
        heard = [(topic, content) for topic, content in recording.due(number) if topic in kinds]
        stamps = [deserialize_message(data, kinds[topic]).header.stamp for topic, data in heard]
        stamps_ns = [stamp.sec * 10**9 + stamp.nanosec for stamp in stamps]
        assert stamps_ns == sorted(stamps_ns)
        together += {topic for topic, _ in heard} == set(kinds)
    assert together >= 5


def changed_panda(folder: Path, change: str) -> Path:
    """The robot file with one thing changed."""
    data = yaml.safe_load(PANDA.read_text())
    data["urdf"] = str(load_robot(PANDA).urdf_path.resolve())
    front, wrist = (data["cameras"][name] for name in ("front", "wrist"))
    match change:
        case "swapped cameras":
            front["topic"], wrist["topic"] = wrist["topic"], front["topic"]
        case "slower":
            data["limits"]["velocity_scale"] = 0.2
        case _:
            data["chunks"]["join"] = "latest"
    path = folder / "panda.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


@pytest.mark.parametrize("change", ["swapped cameras", "slower", "another join"])
def test_a_change_on_the_way_from_picture_to_command_is_noticed(change, tmp_path, capsys):
    assert replay(RUN, changed_panda(tmp_path, change), CHECKPOINT) == 1
    text = capsys.readouterr().out
    assert "the commands are NOT the same" in text
    assert "/panda_arm_controller/joint_trajectory: " in text
    assert "first at" in text


def parts_of_run() -> list[tuple[str, Stamped]]:
    """Status by name and message of the shipped run, in order; the name is of the newest status."""
    kinds = topics_of_run(load_robot(PANDA), ("front", "wrist"))
    found, name = [], ""
    for one in read_messages(RUN, kinds):
        msg = deserialize_message(one.content, kinds[one.topic])
        name = values(msg)["status"] if isinstance(msg, DiagnosticStatus) else name
        found.append((name, Stamped(topic=one.topic, at_ns=one.at_ns, msg=msg)))
    return found


def test_a_recording_that_begins_in_motion_is_refused(tmp_path, capsys):
    moving = [one for name, one in parts_of_run() if name in ("running", "hold_for_policy")]
    write_mcap(tmp_path / "late.mcap", moving)
    assert replay(tmp_path / "late.mcap", PANDA, CHECKPOINT) == 2
    assert "begin to record before the instruction is given" in capsys.readouterr().err


def test_a_recording_without_the_node_s_status_is_refused(tmp_path, capsys):
    write_mcap(tmp_path / "bag.mcap", [one for _, one in parts_of_run() if one.topic != STATUS])
    assert replay(tmp_path / "bag.mcap", PANDA, CHECKPOINT) == 2
    assert f"{STATUS} is not in it; it has: /camera/front" in capsys.readouterr().err


def test_pictures_that_were_lost_while_recording_are_told(tmp_path, capsys):
    topic = load_robot(PANDA).cameras["wrist"].topic
    kept = [one for _, one in parts_of_run() if one.topic != topic]
    pictures = [one for _, one in parts_of_run() if one.topic == topic]
    write_mcap(tmp_path / "bag.mcap", sorted([*kept, *pictures[::4]], key=lambda one: one.at_ns))
    assert replay(tmp_path / "bag.mcap", PANDA, CHECKPOINT) == 1
    text = capsys.readouterr().out
    assert "wrist: " in text
    assert "that the node had are not in the bag" in text


def test_a_tolerance_that_is_none_is_refused(capsys):
    assert replay(RUN, PANDA, CHECKPOINT, "--tolerance", "nan") == 2
    assert "--tolerance: got nan" in capsys.readouterr().err


def arm_command(position: float, velocity: float = 0.0) -> JointTrajectory:
    point = JointTrajectoryPoint(positions=[position], velocities=[velocity])
    return JointTrajectory(joint_names=["elbow"], points=[point])


def difference(before: dict, now: dict):
    (found,) = compare({"/arm": before}, {"/arm": now}, ["/arm"], [0.0, 0.1, 0.2], 1e-3)
    return found


def test_the_largest_difference_is_told_with_its_joint_and_time():
    before = {1: [arm_command(1.0)], 2: [arm_command(1.0)]}
    found = difference(before, {1: [arm_command(1.0005)], 2: [arm_command(1.0, 0.01)]})
    assert (found.where, found.at_s, found.first_s) == ("elbow velocity", 0.2, 0.2)
    assert found.largest == pytest.approx(0.01)
    assert not found.is_same


def test_commands_that_are_missing_or_added_are_differences():
    one = arm_command(1.0)
    assert difference({1: [one]}, {1: [one]}).is_same
    lost = difference({1: [one], 2: [one]}, {1: [one]})
    assert (lost.missing, lost.added, lost.first_s) == (1, 0, 0.2)
    more = difference({}, {1: [one]})
    assert (more.missing, more.added, more.first_s) == (0, 1, 0.1)


def twist(x: float) -> TwistStamped:
    msg = TwistStamped()
    msg.twist.linear.x = x
    return msg


def pose(x: float) -> PoseStamped:
    msg = PoseStamped()
    msg.pose.position.x = x
    return msg


@pytest.mark.parametrize(
    ("make", "where"),
    [
        (lambda x: Float64MultiArray(data=[0.0, x]), "number 1"),
        (twist, "linear.x"),
        (pose, "position.x"),
    ],
)
def test_every_kind_of_command_is_compared(make, where):
    found = difference({1: [make(1.0)]}, {1: [make(1.5)]})
    assert (found.where, found.largest) == (where, 0.5)


def test_another_number_of_joints_is_no_small_difference():
    shorter = difference(
        {1: [Float64MultiArray(data=[0.0, 1.0])]}, {1: [Float64MultiArray(data=[0.0])]}
    )
    assert not shorter.is_same


def test_commands_belong_to_the_tick_whose_status_follows():
    found = by_tick(
        [("/arm", 5, "a"), ("/arm", 10, "b"), ("/arm", 11, "c"), ("/arm", 99, "d")], [10, 20]
    )
    assert {topic: dict(ticks) for topic, ticks in found.items()} == {
        "/arm": {0: ["a", "b"], 1: ["c"]}
    }


@pytest.mark.parametrize("late_s", [(0.0, 0.0, 0.0), (0.0, 0.009, 0.001), (0.004, 0.0, 0.0099)])
def test_the_periods_of_late_ticks_are_found(late_s):
    stamps_s = [7.003 + 0.01 * number + late for number, late in enumerate(late_s)]
    begin_s = first_period_s(stamps_s, 0.01)
    numbers = [int((stamp_s - begin_s) / 0.01) for stamp_s in stamps_s]
    assert begin_s <= stamps_s[0]
    assert numbers[0] < numbers[1] < numbers[2]


def test_ticks_of_another_rate_are_refused():
    with pytest.raises(NodeError, match="not those of a timer of 10 ms"):
        first_period_s([1.0, 1.001, 1.002], 0.01)


@pytest.mark.parametrize("of_clock", [25_080_000_000, 1_795_656_882_135_032_999])
def test_a_time_of_the_status_is_found_again_as_the_clock_s_nanoseconds(of_clock):
    said_s = float(f"{of_clock * 1e-9:.9f}")
    assert nanoseconds(said_s) * 1e-9 == of_clock * 1e-9
