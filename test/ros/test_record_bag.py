"""Recordings of rosbag2 become episodes, as rosbag2 writes them, and as disks leave them."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from vla_ros.errors import DatasetError
from vla_ros.learn.dataset import Dataset
from vla_ros.ros import record
from vla_ros.ros.bag_file import BagMessage
from vla_ros.ros.convert import stamp_from_seconds
from vla_ros.ros.mcap_file import Stamped, write_mcap


def messages(robot, seconds: float, start_s: float = 10.0):
    """Of a bag: two instructions, 100 Hz joints, 50 Hz pictures, and the gripper told to close."""
    for tick in range(int(seconds * 100)):
        now_s = start_s + tick / 100
        stamp = stamp_from_seconds(now_s)
        if tick == 0:
            yield "/vla/instruction", now_s, String(data="sway left")
        if tick == int(seconds * 50):
            yield "/vla/instruction", now_s, String(data="sway right")
        if tick % 2 == 0:
            picture = Image(height=32, width=32, encoding="rgb8", step=96)
            picture.header.stamp, picture.data = stamp, array("B", bytes([tick % 256]) * 32 * 96)
            yield "/front/image_raw", now_s, picture
            point = JointTrajectoryPoint(positions=[0.0])
            yield (
                "/hand/joint_trajectory",
                now_s,
                JointTrajectory(joint_names=["finger"], points=[point]),
            )
        names = ["wrist", "finger", "elbow", "shoulder"]
        joints = JointState(name=names, position=[0.1, 0.02, now_s / 100, 0.3])
        joints.header.stamp = stamp
        yield "/joint_states", now_s, joints


def write_bag(path: Path, robot, seconds: float = 2.0, without: str = "") -> Path:
    return write(path, (one for one in messages(robot, seconds) if one[0] != without))


def write(path: Path, recorded: Iterable[tuple[str, float, Any]]) -> Path:
    stamped = (
        Stamped(topic=topic, at_ns=round(at_s * 1e9), msg=msg) for topic, at_s, msg in recorded
    )
    write_mcap(path, stamped)
    return path


def convert(robot_file: Path, out: Path, bag: Path | list[Path], *more: str) -> int:
    import argparse

    parser = argparse.ArgumentParser()
    record.add_arguments(parser)
    words = ["--robot", str(robot_file), "--out", str(out), "--size-px", "32"]
    words += ["--bag", *map(str, bag if isinstance(bag, list) else [bag])]
    return record.run(parser.parse_args([*words, *more]))


def test_a_bag_becomes_an_episode_an_instruction(robot, robot_file, tmp_path):
    bag = write_bag(tmp_path / "bag.mcap", robot)
    assert convert(robot_file, tmp_path / "data", bag) == 0
    dataset = Dataset.open(tmp_path / "data")
    assert [episode.instruction for episode in dataset.episodes] == ["sway left", "sway right"]
    assert [episode.stop - episode.start for episode in dataset.episodes] == [9, 9]
    first = slice(dataset.episodes[0].start, dataset.episodes[0].stop)
    state, action = dataset.state[first], dataset.action[first]
    np.testing.assert_allclose(state[:, 1], 0.1 + 0.001 * np.arange(9), atol=1e-4)
    np.testing.assert_allclose(action[:-1, :3], state[1:, :3], atol=1e-6)
    np.testing.assert_allclose(state[:, 3], 0.5, atol=1e-6)
    assert (action[:, 3] == 0).all(), "the gripper was told to close"


def test_a_bag_in_a_folder_may_be_one_episode(robot, robot_file, tmp_path):
    (tmp_path / "bag").mkdir()
    write_bag(tmp_path / "bag" / "bag_0.mcap", robot, without="/vla/instruction")
    words = ["--instruction", "sway up"]
    assert convert(robot_file, tmp_path / "data", tmp_path / "bag", *words) == 0
    (episode,) = Dataset.open(tmp_path / "data").episodes
    assert (episode.instruction, episode.stop - episode.start) == ("sway up", 19)


def without_pictures(recorded, until_s: float):
    return (one for one in recorded if one[0] != "/front/image_raw" or one[1] >= until_s)


@pytest.mark.parametrize("words", [[], ["--instruction", "sway left"]])
def test_an_episode_of_a_bag_begins_with_the_first_picture(robot, robot_file, tmp_path, words):
    recorded = (one for one in messages(robot, 2.0) if one[1] < 11.0)
    bag = tmp_path / "bag.mcap"
    write(bag, without_pictures(recorded, until_s=10.3))
    assert convert(robot_file, tmp_path / "data", bag, *words) == 0
    dataset = Dataset.open(tmp_path / "data")
    (episode,) = dataset.episodes
    assert (episode.instruction, episode.stop) == ("sway left", 6)
    assert dataset.state[0, 1] == pytest.approx(0.103, abs=1e-6)


def test_a_camera_that_shows_nothing_is_named(robot, robot_file, tmp_path, caplog):
    bag = tmp_path / "bag.mcap"
    picture = Image(height=32, width=32, encoding="rgb8", step=96)  # without a stamp or pixels
    write(bag, [*without_pictures(messages(robot, 1.0), 99.0), ("/front/image_raw", 10.5, picture)])
    assert convert(robot_file, tmp_path / "data", bag) == 1
    assert "camera front: nothing has come on /front/image_raw" in caplog.text
    assert "1 messages dropped: /front/image_raw: " in caplog.text


def path_to_the_wrist(at_s: list[float], stamp_s: float = 0.0) -> JointTrajectory:
    """A path whose wrist is as far as the time is."""
    path = JointTrajectory(joint_names=["wrist", "elbow"])
    path.header.stamp = stamp_from_seconds(stamp_s)
    for due_s in at_s:
        point = JointTrajectoryPoint(positions=[due_s, 0.0])
        due = stamp_from_seconds(due_s)
        point.time_from_start.sec, point.time_from_start.nanosec = due.sec, due.nanosec
        path.points.append(point)
    return path


@pytest.mark.parametrize("stamp_s", [0.0, 10.2])
def test_a_path_is_recorded_by_its_times(robot, robot_file, tmp_path, stamp_s):
    told = ("/arm/joint_trajectory", 10.201, path_to_the_wrist([0.2, 0.4], stamp_s))
    recorded = [one for one in messages(robot, 2.0) if one[1] < 11.0]
    bag = write(tmp_path / "bag.mcap", sorted([*recorded, told], key=lambda one: one[1]))
    assert convert(robot_file, tmp_path / "data", bag) == 0
    wrist = Dataset.open(tmp_path / "data").action[:, 2]
    np.testing.assert_allclose(wrist[2:6], [0.2, 0.2, 0.3, 0.4], atol=1e-3)


def test_a_path_that_no_controller_takes_is_dropped(robot, robot_file, tmp_path, caplog):
    told = ("/arm/joint_trajectory", 10.201, path_to_the_wrist([0.2, 0.2]))
    recorded = [one for one in messages(robot, 2.0) if one[1] < 11.0]
    bag = write(tmp_path / "bag.mcap", sorted([*recorded, told], key=lambda one: one[1]))
    assert convert(robot_file, tmp_path / "data", bag) == 0
    assert "times that do not increase" in caplog.text
    assert Dataset.open(tmp_path / "data").action[:, 2] == pytest.approx(0.1)


def test_nothing_of_a_bag_is_in_the_next(robot, robot_file, tmp_path):
    """Not its last picture, nor what it commanded, whichever of them is the older."""
    told = JointTrajectory(joint_names=["shoulder"], points=[JointTrajectoryPoint(positions=[1.0])])
    young = [*messages(robot, 1.0), ("/arm/joint_trajectory", 10.9, told)]
    old = [one for one in messages(robot, 1.0, start_s=5.0) if one[1] < 5.5]
    write(tmp_path / "young.mcap", sorted(young, key=lambda one: one[1]))
    write(tmp_path / "old.mcap", without_pictures(old, until_s=5.1))
    bags = [tmp_path / "young.mcap", tmp_path / "old.mcap"]
    assert convert(robot_file, tmp_path / "data", bags) == 0
    dataset = Dataset.open(tmp_path / "data")
    episode = dataset.episodes[-1]
    assert dataset.frames["front"][episode.start].mean() == pytest.approx(10, abs=3)
    np.testing.assert_allclose(dataset.action[episode.start : episode.stop, 0], 0.3, atol=1e-6)


def test_a_bag_in_many_files_is_one_recording(robot, robot_file, tmp_path):
    """As `ros2 bag record -d 1` writes it: number 10 after 9, and what was said once in one."""
    folder = tmp_path / "bag"
    folder.mkdir()
    recorded = list(messages(robot, 12.0))
    for number in range(12):
        begin_s = 10.0 + number
        part = [one for one in recorded if begin_s <= one[1] < begin_s + 1.0 - 1e-6]
        write(folder / f"bag_{number}.mcap", part)
    assert convert(robot_file, tmp_path / "data", folder) == 0
    dataset = Dataset.open(tmp_path / "data")
    assert [episode.stop - episode.start for episode in dataset.episodes] == [59, 59]
    np.testing.assert_allclose(np.diff(dataset.state[:59, 1]), 0.001, atol=1e-4)


def test_an_instruction_that_is_none_is_dropped_as_on_a_robot(robot, robot_file, tmp_path, caplog):
    recorded = [one for one in messages(robot, 2.0) if one[1] < 11.0]
    wrong = ("/vla/instruction", 10.5, String(data="sway\nleft"))
    write(tmp_path / "bag.mcap", [*recorded, wrong])
    assert convert(robot_file, tmp_path / "data", tmp_path / "bag.mcap") == 0
    (episode,) = Dataset.open(tmp_path / "data").episodes
    assert (episode.instruction, episode.stop) == ("sway left", 9)
    assert "holds the control character" in caplog.text


BROKEN = {
    "cut short": (lambda content: content[: len(content) // 2], "cut short; repair it: mcap rec"),
    "begun": (lambda content: content[:8], "cut short"),
    "empty": (lambda content: b"", "is no MCAP file; ros2 bag convert"),
    "of SQLite": (
        lambda content: b"SQLite format 3" + content,
        "is no MCAP file; ros2 bag convert",
    ),
    "damaged": (lambda content: damaged(content), "cannot be read: "),
}


def damaged(content: bytes) -> bytes:
    third = len(content) // 3  # among the pictures; the last quarter is the index
    return content[:third] + bytes(50) + content[third + 50 :]


@pytest.mark.parametrize("name", BROKEN)
def test_a_bag_that_is_none_any_more_is_refused(robot, robot_file, tmp_path, name):
    spoil, sentence = BROKEN[name]
    bag = write_bag(tmp_path / "bag.mcap", robot)
    bag.write_bytes(spoil(bag.read_bytes()))
    with pytest.raises(DatasetError, match=sentence):
        convert(robot_file, tmp_path / "data", bag)


def test_messages_that_were_compressed_one_by_one_are_refused():
    packed = b"\x28\xb5\x2f\xfd" + bytes(60)
    message = BagMessage(topic="/joint_states", at_ns=0, content=packed)
    with pytest.raises(DatasetError, match="on /joint_states .* --compression-mode"):
        message.decoded(JointState)


def test_a_bag_without_a_topic_is_refused_with_what_it_has(robot, robot_file, tmp_path):
    bag = write_bag(tmp_path / "bag.mcap", robot, seconds=0.2, without="/front/image_raw")
    with pytest.raises(DatasetError, match="/front/image_raw is not in it; it has: /hand/joint"):
        convert(robot_file, tmp_path / "data", bag)
    with pytest.raises(DatasetError, match="no MCAP file"):
        convert(robot_file, tmp_path / "data", tmp_path / "nothing.mcap")
