"""The file that is written on a fault or on request, read back."""

from __future__ import annotations

import threading
import time
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from mcap.reader import make_reader
from rclpy.serialization import deserialize_message
from ros_bench import Bench
from ros_fakes import sway
from std_srvs.srv import Trigger

from vla_ros.datatypes import Status
from vla_ros.ros import flight_messages, flight_recorder, mcap_file
from vla_ros.ros.flight_recorder import FlightRecorder
from vla_ros.runtime import ControlLoop, Counters, Tick


def read(path: Path) -> dict[str, list]:
    """Messages by topic."""
    found: dict[str, list] = {}
    with path.open("rb") as file:
        for schema, channel, message in make_reader(file).iter_messages():
            assert (schema.encoding, channel.message_encoding) == ("ros2msg", "cdr")
            package, _, name = schema.name.split("/")
            kind = getattr(import_module(f"{package}.msg"), name)
            msg = deserialize_message(message.data, kind)
            found.setdefault(channel.topic, []).append(msg)
    return found


def written(bench: Bench, folder: Path) -> Path:
    bench.until(lambda: list(folder.glob("vla_flight_*.mcap")), "a file")
    (path,) = folder.glob("vla_flight_*.mcap")
    return path


def test_a_fault_writes_what_led_to_it(bench: Bench, tmp_path: Path):
    def act(observation):
        actions = sway(observation)
        actions[3, 1] = np.nan if observation.instruction == "go mad" else actions[3, 1]
        return actions

    folder = tmp_path / "flights"
    bench.start(act, recordings=str(folder))
    bench.run()
    bench.client.say("go mad")
    bench.until_status("fault_bad_action")
    path = written(bench, folder)
    assert path.name.endswith("_fault_bad_action.mcap")
    found = read(path)
    reasons = [msg.message for msg in found[flight_messages.STATUS]]
    assert "bad action 3 of 3 in a row" in reasons[-1]
    assert "running" in reasons
    assert [msg.data for msg in found[flight_messages.INSTRUCTION]][-2:] == ["sway", "go mad"]
    commands = found[flight_messages.COMMAND]
    sent = [list(msg.points[0].positions) for msg in bench.client.arm]
    assert [list(msg.points[0].positions) for msg in commands][:10] == sent[:10]
    assert found[flight_messages.STATE][0].name == ["shoulder", "elbow", "wrist", "finger"]
    chunk = found[flight_messages.CHUNK][0]
    assert len(chunk.points) == 16
    assert chunk.points[15].time_from_start.nanosec == pytest.approx(0.8e9)
    assert not list(folder.glob(".*")), "a half-written file is left"


def test_on_request_a_file_is_written_while_the_arm_moves(bench: Bench, tmp_path: Path):
    bench.start(recordings=str(tmp_path))
    service = bench.client.create_client(Trigger, "/vla_node/dump")
    answer = bench.trigger(service)
    assert not answer.success
    assert "nothing is configured" in answer.message
    bench.run()
    answer = bench.trigger(service)
    assert answer.success
    path = written(bench, tmp_path)
    assert str(path) == answer.message
    assert len(read(path)[flight_messages.STATUS]) > 10
    bench.ticks(10)
    assert bench.client.status() == "running"


def test_a_folder_that_cannot_be_written_is_told_and_the_node_lives(bench: Bench, tmp_path, capfd):
    (tmp_path / "file").write_text("")
    bench.start(recordings=str(tmp_path / "file" / "below"))
    bench.run()
    bench.trigger(bench.client.create_client(Trigger, "/vla_node/dump"))
    bench.ticks(20)
    assert bench.client.status() == "running"
    assert "could not be written" in capfd.readouterr().err


class Loop:
    """What a recorder asks a loop for."""

    measured = chunk = instruction = None


def tick(stamp_s: float) -> Tick:
    counters = Counters(overruns=0, dropped_chunks=0, clamped=0, wild_chunks=0, ignored_inputs=0)
    return Tick(
        status=Status.RUNNING,
        reason="",
        command=None,
        epoch=1,
        chunk_start_s=None,
        inference_s=None,
        ages_s={},
        counters=counters,
        stamp_s=stamp_s,
    )


def test_old_ticks_are_forgotten_and_old_files_too(robot, tmp_path, monkeypatch):
    recorder = FlightRecorder(robot, tmp_path, lambda text: None)
    clock_ns = [0]
    monkeypatch.setattr(time, "time_ns", lambda: clock_ns[0])
    monkeypatch.setattr(time, "monotonic_ns", lambda: clock_ns[0])
    for index in range(4000):
        clock_ns[0] = index * 10_000_000
        recorder.note(tick(0.01 * index), Loop())
    for count in range(23):
        path = recorder.dump(f"{count}")
        recorder.close(timeout_s=60.0)
    files = sorted(tmp_path.glob("*.mcap"))
    assert len(files) == 20
    assert path in files
    stamps = [
        float(next(pair.value for pair in msg.values if pair.key == "stamp_s"))
        for msg in read(path)[flight_messages.STATUS]
    ]
    assert len(stamps) == 3001
    assert stamps[0] == pytest.approx(9.99)


def test_a_clock_that_is_set_back_keeps_no_more(robot, tmp_path, monkeypatch):
    recorder = FlightRecorder(robot, tmp_path, lambda text: None)
    steady_ns = [0]
    monkeypatch.setattr(time, "monotonic_ns", lambda: steady_ns[0])
    for index in range(8000):
        steady_ns[0] = index * 10_000_000
        wall_ns = steady_ns[0] if index < 4000 else steady_ns[0] - 3_600_000_000_000
        monkeypatch.setattr(time, "time_ns", lambda wall_ns=wall_ns: wall_ns + 10**15)
        recorder.note(tick(0.01 * index), Loop())
    path = recorder.dump("set_back")
    recorder.close(timeout_s=60.0)
    assert len(read(path)[flight_messages.STATUS]) == 3001


def test_noting_a_tick_costs_little(robot, tmp_path):
    recorder = FlightRecorder(robot, tmp_path, lambda text: None)
    ticks = [tick(0.01 * index) for index in range(3000)]
    started_s = time.thread_time()
    for one in ticks:
        recorder.note(one, Loop())
    assert (time.thread_time() - started_s) / len(ticks) < 2e-4


def test_a_definition_brings_all_that_it_is_made_of():
    text = mcap_file.definition_of("trajectory_msgs/msg/JointTrajectory")
    parts = text.split("=" * 80)
    names = [part.strip().splitlines()[0] for part in parts[1:]]
    assert sorted(names) == [
        "MSG: builtin_interfaces/Duration",
        "MSG: builtin_interfaces/Time",
        "MSG: std_msgs/Header",
        "MSG: trajectory_msgs/JointTrajectoryPoint",
    ]


def test_the_loop_has_what_the_recorder_asks_for():
    assert all(hasattr(ControlLoop, name) for name in vars(Loop) if not name.startswith("_"))


def test_a_disk_that_hangs_does_not_keep_the_node_from_cleaning_up(robot, tmp_path, monkeypatch):
    let_go = threading.Event()
    monkeypatch.setattr(flight_recorder, "write_mcap", lambda path, kept: let_go.wait(60))
    recorder = FlightRecorder(robot, tmp_path, lambda text: None)
    recorder.dump("asked")
    began_s = time.monotonic()
    recorder.close()
    took_s = time.monotonic() - began_s
    let_go.set()
    recorder.close(timeout_s=60.0)
    assert 0.9 < took_s < 2.0
