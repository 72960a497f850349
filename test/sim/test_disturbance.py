"""Disturbances: what each changes and by how much; the scene beneath stays the same to the bit."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import fields

import numpy as np
import pytest

from vla_ros.errors import SceneError
from vla_ros.sim import disturbance as bounds
from vla_ros.sim.disturbance import DISTURBANCES, LateCommands
from vla_ros.sim.scene import ARM_JOINTS
from vla_ros.sim.tasks import TASKS
from vla_ros.sim.world import TabletopSim

SEED, TASK = 4, "push_object"
# Of the scenes as they were drawn before there were disturbances.
DIGEST = "b1ee25e406fc5daf15d769b01d13b3f978ab64e4c7e5a3cb192fc7a91804cbcd"
APPEARANCE = ("geom_rgba", "light_dir", "light_diffuse", "cam_pos", "cam_quat")

MakeWorld = Callable[[str], TabletopSim]


@pytest.fixture(scope="module")
def make() -> MakeWorld:
    worlds: dict[str, TabletopSim] = {}

    def make(name: str) -> TabletopSim:
        if name not in worlds:
            worlds[name] = TabletopSim(32, disturbance=name)
        worlds[name].reset(seed=SEED, task=TASK)
        return worlds[name]

    return make


def test_seeds_are_the_scenes_that_they_were(make: MakeWorld) -> None:
    world, total = make(""), hashlib.sha256()
    for seed in range(3):
        for task in TASKS:
            episode = world.reset(seed=seed, task=task)
            layout, model = world.layout, world.model
            total.update(repr((episode, layout.colors)).encode())
            for values in (
                layout.block_xy_m,
                layout.block_yaw_rad,
                layout.block_half_m,
                layout.tray_xy_m,
                layout.cabinet_xy_m,
                layout.arm_rad,
                model.geom_rgba,
                model.light_diffuse,
            ):
                total.update(np.ascontiguousarray(values).tobytes())
    assert total.hexdigest() == DIGEST


@pytest.mark.parametrize("name", DISTURBANCES)
def test_words_and_places_are_those_of_the_undisturbed_scene(make: MakeWorld, name: str) -> None:
    plain, world = make(""), make(name)
    assert world.episode == plain.episode
    for field in fields(plain.layout):
        if (name, field.name) == ("size", "block_half_m"):
            continue
        one, other = getattr(plain.layout, field.name), getattr(world.layout, field.name)
        assert repr(one) == repr(other), field.name


def changed(plain: TabletopSim, world: TabletopSim) -> set[str]:
    """Arrays of the model that differ between two worlds."""
    names = (*APPEARANCE, "geom_size", "actuator_gainprm", "actuator_biasprm")
    return {
        name
        for name in names
        if not np.array_equal(getattr(plain.model, name), getattr(world.model, name))
    }


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("light", {"light_dir", "light_diffuse"}),
        ("colors", {"geom_rgba"}),
        ("cameras", {"cam_pos", "cam_quat"}),
        ("size", {"geom_size"}),
        ("servo", {"actuator_gainprm", "actuator_biasprm"}),
        ("delay", set()),
        ("kick", set()),
    ],
)
def test_nothing_else_changes(make: MakeWorld, name: str, wanted: set[str]) -> None:
    assert changed(make(""), make(name)) == wanted


def test_a_seed_is_always_disturbed_alike(make: MakeWorld) -> None:
    world = make("cameras")
    first = world.model.cam_quat.copy()
    world.reset(seed=SEED + 1, task=TASK)
    assert not np.array_equal(world.model.cam_quat, first)
    world.reset(seed=SEED, task=TASK)
    np.testing.assert_array_equal(world.model.cam_quat, first)


def test_cameras_move_all_of_the_way(make: MakeWorld) -> None:
    plain, world = make("").model, make("cameras").model
    for name in ("front", "wrist"):
        camera = plain.camera(name).id
        shift_m = np.linalg.norm(world.cam_pos[camera] - plain.cam_pos[camera])
        assert shift_m == pytest.approx(bounds.CAMERA_SHIFT_M)
        overlap = abs(np.dot(world.cam_quat[camera], plain.cam_quat[camera]))
        assert 2 * np.arccos(min(overlap, 1)) == pytest.approx(bounds.CAMERA_TURN_RAD, rel=1e-3)


def test_sizes_and_stiffness_stay_in_their_bounds(make: MakeWorld) -> None:
    plain = make("")
    size, servo = make("size"), make("servo")
    factor = size.layout.block_half_m / plain.layout.block_half_m
    assert (abs(factor - 1) <= bounds.SIZE_SHARE).all()
    assert size.block_m(size.episode.color)[2] == pytest.approx(
        size.layout.block_half_m[size.layout.colors.index(size.episode.color)], abs=1e-3
    )
    gains = [
        servo.model.actuator(name).gainprm[0] / plain.model.actuator(name).gainprm[0]
        for name in ARM_JOINTS
    ]
    low, high = bounds.SERVO_FACTOR
    assert low <= min(gains) < max(gains) <= high


def test_the_distractor_stands_alone_and_is_seen(make: MakeWorld) -> None:
    plain, world = make(""), make("distractor")
    xy_m = world.data.body("distractor").xpos[:2]
    assert np.linalg.norm(world.layout.block_xy_m - xy_m, axis=1).min() > 0.1
    difference = np.abs(world.render("front").astype(int) - plain.render("front")).max(axis=-1)
    assert (difference > 20).any()


def test_targets_reach_the_servos_late(make: MakeWorld) -> None:
    world = make("delay")
    before = world.data.ctrl.copy()
    world.set_target(world.layout.arm_rad + 0.1, 0.0)
    for _ in range(round(bounds.DELAY_S / 0.01)):
        world.advance(0.01)
        np.testing.assert_array_equal(world.data.ctrl, before)
    world.advance(0.01)
    np.testing.assert_allclose(world.data.ctrl[:7], world.layout.arm_rad + 0.1)


def test_the_newest_of_the_late_targets_counts() -> None:
    late = LateCommands(0.1)
    for number, now_s in enumerate((0.0, 0.01, 0.05)):
        late.put(now_s, np.full(9, float(number)))
    assert late.due(0.05) is None
    arrived = late.due(0.12)
    assert arrived is not None
    assert arrived[0] == 1.0
    assert late.due(0.12) is None


def test_only_the_named_block_is_kicked_and_stays_where_the_task_can_be_done(
    make: MakeWorld,
) -> None:
    world = make("kick")
    start_m = {color: world.block_m(color)[:2] for color in world.layout.colors}
    for _ in range(250):
        world.advance(0.01)
    moved_m = {c: np.linalg.norm(world.block_m(c)[:2] - start_m[c]) for c in start_m}
    assert 0.02 < moved_m.pop(world.episode.color) < 0.08
    assert max(moved_m.values()) < 0.002
    settled_m = world.block_m(world.episode.color)
    world.advance(1.0)
    np.testing.assert_allclose(world.block_m(world.episode.color), settled_m, atol=1e-3)


def test_an_unknown_disturbance_is_refused() -> None:
    with pytest.raises(SceneError, match="disturbance 'fog' is unknown; valid: light, colors"):
        TabletopSim(32, disturbance="fog")
