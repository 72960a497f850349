"""The measurement of joining chunks: what its meter sees, its baseline, and a short whole run."""

from __future__ import annotations

import argparse
import json
from types import SimpleNamespace

import numpy as np
import pytest

from vla_ros.bench import chunks as bench_chunks
from vla_ros.bench.smoothness import SmoothnessMeter
from vla_ros.bench.synchronous import SynchronousWorker, synchronous
from vla_ros.datatypes import ActionChunk, Frame, RobotState, Status
from vla_ros.errors import ParameterError
from vla_ros.policy_protocol import CameraSpec, PolicySpec
from vla_ros.robot_config import load_robot
from vla_ros.runtime import ControlLoop
from vla_ros.share import share_path

STEP_S = 0.05


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    bench_chunks.add_arguments(parser)
    return parser.parse_args(words)


class Plans:
    """A loop's plans for one joint, by chunk: time → target and slope."""

    def __init__(self, *plans):
        self.plans, self.index = plans, 0

    def planned(self, time_s):
        return tuple(np.array([value]) for value in self.plans[self.index](time_s))


def look(meter, loop, tick, position, status=Status.RUNNING):
    meter.look(
        loop,
        SimpleNamespace(
            command=SimpleNamespace(position_rad=np.array([position])),
            status=status,
            stamp_s=0.01 * tick,
            chunk_start_s=float(loop.index),
        ),
    )


def test_the_jump_is_what_the_plans_differ_by_at_the_same_tick():
    loop = Plans(lambda t: (1.0 * t, 1.0), lambda t: (1.0 * t + 0.02, 0.4), lambda t: (0.3, 0.0))
    meter = SmoothnessMeter(0.01, joints=1)
    look(meter, loop, 1, 0.01)
    look(meter, loop, 2, 0.02)
    assert meter.result().jump_rad == 0, "a plan that goes on has no seam"
    loop.index = 1
    look(meter, loop, 3, 0.03)
    seen = meter.result()
    assert seen.jump_rad == pytest.approx(0.02)
    assert seen.kink_rad_s == pytest.approx(0.6)
    assert seen.hold_share == 0
    loop.index = 2
    look(meter, loop, 4, 0.04)
    look(meter, loop, 5, 0.05, status=Status.HOLD_CHUNK_EXPIRED)
    assert meter.result().hold_share == pytest.approx(2 / 5)
    loop.index = 0  # from where the arm was held, not from where the plan before would have led
    look(meter, loop, 6, 0.06)
    assert meter.result().jump_rad == pytest.approx(abs(0.04 + 0.02 - 0.3))


def test_the_jerk_is_that_of_what_was_commanded():
    meter, loop = SmoothnessMeter(0.01, joints=1), Plans(lambda t: (t, 1.0))
    for tick in range(20):
        look(meter, loop, tick, 7.0 * (0.01 * tick) ** 3 / 6)
    assert meter.result().jerk2_rad2_s6 == pytest.approx(49.0)


class Steps:
    """Plans steps of 0.01 rad away from where the arm is; notes when it looked."""

    def __init__(self, robot):
        self.looked_s = []
        self.spec = PolicySpec(
            robot=robot.robot,
            cameras=(CameraSpec(name="front", height_px=8, width_px=8, resize="letterbox"),),
            state_names=robot.action_names,
            action_names=robot.action_names,
            horizon=10,
            step_s=STEP_S,
        )

    def reset(self):
        pass

    def infer(self, observation, prefix=None):
        self.looked_s.append(observation.stamp_s)
        joints = observation.state.position_rad + 0.01 * np.arange(1, 11)[:, None]
        return ActionChunk(
            actions=np.hstack([joints, np.ones((10, 1))]),
            start_s=observation.stamp_s,
            step_s=STEP_S,
            epoch=observation.epoch,
            inference_s=0.0,
        )


@pytest.mark.parametrize("latency_s", [0.0, 0.2, 0.23])
def test_synchronous_execution_stops_looks_waits_and_plays(latency_s):
    robot = load_robot(share_path("config/panda.yaml"))
    policy = Steps(robot)
    worker = SynchronousWorker(policy, latency_s, robot)
    loop = ControlLoop(robot=synchronous(robot, latency_s), spec=policy.spec, worker=worker)
    loop.activate(0.0)
    loop.set_instruction("go")
    position = (robot.limits.lower_rad + robot.limits.upper_rad) / 2
    start, targets, meter = position, [], SmoothnessMeter(robot.tick_s, 7)
    for tick in range(1, 200):
        now_s = round(tick * robot.tick_s, 6)
        state = RobotState(
            position_rad=position, velocity_rad_s=np.zeros(7), gripper_open=1.0, stamp_s=now_s
        )
        loop.put_state(state)
        pixels = np.full((8, 8, 3), tick, np.uint8)
        loop.put_frame("front", Frame(pixels=pixels, stamp_s=now_s))
        done = loop.step(now_s)
        meter.look(loop, done)
        if done.command is not None:
            position = done.command.position_rad
        planned = loop.planned(now_s)
        targets.append(np.nan if planned is None else planned[0][0] - start[0])
    wait_s = max(latency_s, 0.05)
    assert np.diff(policy.looked_s) == pytest.approx(wait_s + robot.chunks.execute_s)
    moved = np.array(targets)
    first = int(np.argmax(np.isfinite(moved)))
    assert first + 1 == round((policy.looked_s[0] + wait_s) / robot.tick_s)
    # The first step at once, the others a step apart, the sixth and last one held until the next.
    assert moved[first] == pytest.approx(0.01)
    assert moved[first + 5] == pytest.approx(0.02)
    waited = round(wait_s / robot.tick_s)
    assert moved[first + 25 : first + 30 + waited] == pytest.approx(0.06)
    seen = meter.result()
    assert 0.005 < seen.jump_rad < 0.02
    held_s = wait_s + STEP_S - robot.tick_s / 2
    assert seen.hold_share == pytest.approx(held_s / (wait_s + 0.3), abs=0.07)


def test_it_tells_each_way_to_join_and_what_this_checkpoint_cannot(
    untrained_checkpoint, tmp_path, capsys
):
    path, picture = tmp_path / "chunks.json", tmp_path / "chunks.png"
    words = ["--checkpoint", str(untrained_checkpoint), "--episodes", "1", "--jobs", "1"]
    words += ["--tasks", "push_object", "--latencies-ms", "0,200"]
    assert bench_chunks.run(parse(*words, "--json", str(path), "--plot", str(picture))) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    report = json.loads(path.read_text())
    rows = {(row["join"], row["latency_ms"]): row for row in report["rows"]}
    ways = ["synchronous", "latest", "blend", "ensemble"]
    assert list(rows) == [(way, ms) for ms in (0, 200) for way in ways]
    assert list(report["left_out"]) == ["rtc"]
    assert rows["synchronous", 200]["ratios"] == dict.fromkeys(rows["blend", 0]["ratios"], 1.0)
    # The untrained arm ends at its limits, where it stands still whatever joins its chunks.
    assert rows["synchronous", 200]["hold_share"] > rows["blend", 200]["hold_share"] + 0.1
    assert rows["blend", 200]["jump_rad"] < 1e-6 < rows["latest", 200]["jump_rad"]
    printed = capsys.readouterr().out
    assert "200 ms  ensemble" in printed
    assert "rtc is left out: chunks: join is rtc, but this policy cannot continue" in printed


def test_wrong_options_are_refused_all_at_once():
    with pytest.raises(ParameterError, match=r"--latencies-ms: got '0,x'.*\n.*--episodes: got 0"):
        bench_chunks.run(parse("--latencies-ms", "0,x", "--episodes", "0"))
