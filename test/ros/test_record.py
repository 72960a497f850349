"""Recording a robot, as its own process: start, stop, discard, Ctrl-C, kill -9."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ros_fakes import Client
from std_srvs.srv import Trigger

from vla_ros.learn.dataset import Dataset
from vla_ros.ros import record

ROOT = Path(__file__).parents[2]


@pytest.fixture
def start_recorder(robot_file: Path, tmp_path: Path):
    """Start `vla record`; ended with the test."""
    # A busy machine may keep this process, which plays the robot, from a core for a while.
    data = yaml.safe_load(robot_file.read_text())
    for heard in (data["state"], *data["cameras"].values()):
        heard["max_age_s"] = 5.0
    robot_file.write_text(yaml.safe_dump(data))
    processes = []

    def start(*program: str) -> subprocess.Popen:
        command = [sys.executable, *(program or ("-m", "vla_ros"))]
        command += ["record", "--robot", str(robot_file)]
        command += ["--out", str(tmp_path / "data"), "--fps", "20", "--size-px", "32"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        processes.append(subprocess.Popen(command, env=environment, cwd=tmp_path))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()


class Hand(Client):
    """A robot that plays, and a person who calls the recorder's services."""

    def __init__(self, context, spinner) -> None:
        super().__init__(context)
        self._spinner = spinner
        self.services_by_name = {
            name: self.create_client(Trigger, f"/vla_recorder/{name}")
            for name in ("start", "stop", "discard")
        }
        spinner.add(self)
        self.play(100.0)

    def call(self, name: str) -> Trigger.Response:
        service = self.services_by_name[name]
        self._spinner.until(service.service_is_ready, f"{name} is offered")
        future = service.call_async(Trigger.Request())
        self._spinner.until(future.done, f"{name} answers")
        return future.result()

    def begin(self, text: str) -> None:
        """Say it and start; again while the recorder, just found, has not heard it."""

        def starts() -> bool:
            self.say(text)
            self.wait(10)
            return self.call("start").success

        self._spinner.until(starts, "an episode begins")

    def wait(self, pictures: int) -> None:
        until = self.shown + pictures
        self._spinner.until(lambda: self.shown >= until, "pictures")


def test_finished_episodes_survive_kill_9(context, spinner, start_recorder, robot, tmp_path):
    recorder = start_recorder()
    hand = Hand(context, spinner)
    refused = hand.call("start")
    assert not refused.success
    assert "nothing was said yet" in refused.message
    hand.begin("sway left")
    hand.wait(60)
    assert not hand.call("start").success
    assert hand.call("stop").message.startswith("episode 0 is written: ")
    assert hand.call("start").success
    hand.wait(20)
    assert hand.call("discard").success
    assert hand.call("start").success
    hand.wait(60)
    os.kill(recorder.pid, signal.SIGKILL)
    recorder.wait()
    dataset = Dataset.open(tmp_path / "data")
    (episode,) = dataset.episodes
    assert episode.instruction == "sway left"
    assert 6 <= episode.stop - episode.start <= 60
    with record.open_dataset(tmp_path / "data", robot, fps=20, size_px=32) as writer:
        assert writer.episodes == 1, "the folder goes on where it was"


# The disk is slow: Ctrl-C comes while `stop` writes, which takes longer than a node has to end.
SLOW_DISK = """
import os, signal, sys, time
from vla_ros import cli
from vla_ros.learn.dataset_writer import DatasetWriter

flush = DatasetWriter.flush

def slow(writer):
    if writer.episodes:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(2.5)
    flush(writer)

DatasetWriter.flush = slow
sys.exit(cli.main([*sys.argv[1:], "--instruction", "sway left"]))
"""


def test_an_episode_that_is_being_written_survives_ctrl_c(
    context, spinner, start_recorder, tmp_path
):
    recorder = start_recorder("-c", SLOW_DISK)
    hand = Hand(context, spinner)
    spinner.until(lambda: hand.images.get_subscription_count() >= 1, "the recorder sees")
    hand.wait(20)
    assert hand.call("start").success
    hand.wait(60)
    hand.services_by_name["stop"].call_async(Trigger.Request())
    spinner.until(lambda: recorder.poll() is not None, "the recorder ends")
    assert recorder.returncode == 0
    (episode,) = Dataset.open(tmp_path / "data").episodes
    assert episode.instruction == "sway left"


def test_an_episode_that_the_disk_refuses_is_kept_until_there_is_room(
    context, spinner, start_recorder, tmp_path
):
    start_recorder()
    hand = Hand(context, spinner)
    hand.begin("sway left")
    hand.wait(60)
    in_the_way = tmp_path / "data/data/chunk-000/file-000.parquet"
    in_the_way.mkdir(parents=True)
    for _ in range(2):  # the second time, the dataset cannot even be opened again
        refused = hand.call("stop")
        assert not refused.success
        assert "the episode is not written: " in refused.message
        assert "it is kept, make room and call stop again, or discard" in refused.message
    assert "call stop again or discard" in hand.call("start").message
    in_the_way.rmdir()
    assert hand.call("stop").message.startswith("episode 0 is written: ")
    (episode,) = Dataset.open(tmp_path / "data").episodes
    assert episode.instruction == "sway left"
    assert not hand.call("discard").success, "nothing is left"
