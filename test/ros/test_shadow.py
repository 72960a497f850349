"""Shadow mode: the plan is shown and held against the motion, and nothing is ever commanded."""

from __future__ import annotations

import re

import numpy as np
import pytest
from ros_bench import ACTIVATE, CONFIGURE, DEACTIVATE, Bench
from ros_fakes import SPEC, values
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory
from visualization_msgs.msg import Marker, MarkerArray

from vla_ros.datatypes import Observation
from vla_ros.ros.convert import seconds_from_stamp

SPEEDS = {"shoulder": 0.2, "elbow": -0.1, "wrist": 0.05}
COMMAND_TOPICS = ("/arm/joint_trajectory", "/hand/joint_trajectory")


def at_speed(factor: float):
    """A policy that plans the motion of `SPEEDS`, some times as fast."""
    speed = factor * np.array(list(SPEEDS.values()))

    def act(observation: Observation) -> np.ndarray:
        steps = np.arange(1, SPEC.horizon + 1)[:, None] * SPEC.step_s
        joints = observation.state.position_rad + steps * speed
        return np.hstack([joints, np.full_like(steps, 0.5)])

    return act


def play_somebody_moving(bench: Bench) -> None:
    """Publish pictures, and joint states of an arm that moves at `SPEEDS`."""
    client = bench.client
    start, begin_s = dict(client.position), client.get_clock().now().nanoseconds * 1e-9

    def on_time() -> None:
        now = client.get_clock().now()
        passed_s = now.nanoseconds * 1e-9 - begin_s
        for name, speed in SPEEDS.items():
            client.position[name] = start[name] + speed * passed_s
        client.show(now.to_msg())
        client.report(now.to_msg())

    client.create_timer(0.01, on_time)


def run(bench: Bench, factor: float, **overrides) -> None:
    bench.start(at_speed(factor), **overrides)
    assert bench.change(CONFIGURE, ACTIVATE)
    play_somebody_moving(bench)
    bench.until(bench.connected, "discovery")
    bench.client.say("sway")
    bench.until_status("running")


def divergence(bench: Bench) -> tuple[float, float]:
    """Of the newest status: radians, and millimetres of the tip."""
    read = values(bench.client.statuses[-1])
    return float(read["plan_divergence_rad"]), float(read["plan_divergence_mm"])


def until_apart(bench: Bench) -> None:
    bench.until(lambda: "plan_divergence_rad" in values(bench.client.statuses[-1]), "a plan to end")


def topics_published(bench: Bench) -> list[str]:
    name, space = bench.node.get_name(), bench.node.get_namespace()
    found = bench.client.get_publisher_names_and_types_by_node(name, space)
    return [topic for topic, _ in found]


def test_shadow_mode_never_has_a_publisher_of_commands(bench):
    run(bench, 1.0, mode="shadow")
    for _ in range(3):
        bench.ticks(30)
        assert not set(COMMAND_TOPICS) & set(topics_published(bench))
    assert bench.client.arm == []
    assert bench.client.hand == []
    assert values(bench.client.statuses[-1])["mode"] == "shadow"
    assert bench.node.session.last.command is None
    assert bench.change(DEACTIVATE)
    assert bench.client.heard()[:2] == (0, 0)


def test_drive_mode_has_them_so_that_the_test_above_can_fail(bench):
    run(bench, 1.0)
    bench.until(lambda: set(COMMAND_TOPICS) <= set(topics_published(bench)), "publishers")
    bench.until(lambda: bench.client.arm, "commands")


def test_a_plan_like_the_motion_is_near_it_and_another_is_as_far_as_it_should_be(bench):
    run(bench, 1.0, mode="shadow")
    until_apart(bench)
    angle, place = divergence(bench)
    assert angle < 0.02
    assert place < 10


def test_a_plan_of_the_other_way_is_told_by_status_and_log(bench, capfd):
    run(bench, -1.0, mode="shadow")
    until_apart(bench)
    angle, place = divergence(bench)
    # Twice the fastest joint's 0.2 rad/s over the 0.8 s of a plan; states come every 10 ms.
    assert angle == pytest.approx(0.32, abs=0.03)
    assert place > 50
    assert re.search(r"plan and motion are 0\.3\d\d rad and \d+ mm", capfd.readouterr().err)


def test_the_plan_is_shown_in_both_modes_to_those_who_listen(bench, robot):
    markers, joints = [], []
    bench.client.create_subscription(MarkerArray, "/vla_node/plan/markers", markers.append, 10)
    bench.client.create_subscription(JointState, "/vla_node/plan/joint_states", joints.append, 10)
    paths = []
    topic = "/vla_node/plan/joint_trajectory"
    bench.client.create_subscription(JointTrajectory, topic, paths.append, 10)
    run(bench, 1.0, mode="shadow")
    bench.until(lambda: paths and joints and any(len(m.markers) == 3 for m in markers), "a plan")
    path, steps, end = next(m.markers for m in reversed(markers) if len(m.markers) == 3)
    assert (path.type, path.header.frame_id) == (Marker.LINE_STRIP, "base")
    assert len(path.points) == len(steps.points) == SPEC.horizon
    assert end.points == path.points[-1:]
    names = ["shoulder", "elbow", "wrist", "finger"]
    assert joints[-1].name == names
    assert joints[-1].position[3] == pytest.approx(0.02)
    tips = {tuple(np.round([p.x, p.y, p.z], 6)) for m in markers for p in m.markers[-1].points}
    shown = [robot.chain.forward(np.array(j.position[:3]))[:3, 3] for j in joints]
    assert any(tuple(np.round(place, 6)) in tips for place in shown)
    assert paths[-1].joint_names == names
    assert len(paths[-1].points) == SPEC.horizon
    step_s = seconds_from_stamp(paths[-1].points[0].time_from_start)
    assert step_s == pytest.approx(SPEC.step_s, abs=1e-6)
    ends = [list(path.points[-1].positions) for path in paths]
    assert any(list(joint.position) in ends for joint in joints)
    bench.client.say("")
    bench.until(lambda: markers[-1].markers[0].action == Marker.DELETEALL, "the plan to vanish")


def test_an_unknown_mode_is_refused(bench, capfd):
    bench.start(mode="ghost")
    assert not bench.change(CONFIGURE)
    assert re.search("mode: 'ghost' is unknown; valid: drive, shadow", capfd.readouterr().err)
