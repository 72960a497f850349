"""The simulated tabletop: reset by seed, pictures, scoring, and bad arguments."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from vla_ros.errors import SceneError
from vla_ros.robot_config import load_robot
from vla_ros.share import share_path
from vla_ros.sim.tasks import TASKS
from vla_ros.sim.world import TabletopSim


@pytest.fixture(scope="module")
def world() -> Iterator[TabletopSim]:
    simulation = TabletopSim(render_px=96)
    yield simulation
    simulation.close()


def test_same_seed_gives_the_same_scene_words_and_picture(world: TabletopSim) -> None:
    first = world.reset(seed=7, task="push_object")
    picture, state = world.render("front").copy(), world.state()
    world.reset(seed=8, task="push_object")
    assert not np.array_equal(world.render("front"), picture)
    assert world.reset(seed=7, task="push_object") == first
    assert np.array_equal(world.render("front"), picture)
    assert np.array_equal(world.state().position_rad, state.position_rad)


def test_forward_kinematics_of_the_urdf_agree_with_mujoco(world: TabletopSim) -> None:
    robot = load_robot(share_path("config/panda.yaml"))
    for seed in range(5):
        world.reset(seed=seed, task="pick_object")
        pose = robot.chain.forward(world.state().position_rad)
        tip = world.data.body("panda_hand_tcp")
        np.testing.assert_allclose(pose[:3, 3], tip.xpos, atol=1e-6)
        np.testing.assert_allclose(pose[:3, :3], tip.xmat.reshape(3, 3), atol=1e-6)


@pytest.mark.parametrize("camera", ["front", "wrist"])
def test_pictures_show_all_of_the_scene_not_one_colour(world: TabletopSim, camera: str) -> None:
    world.reset(seed=3, task="pick_object")
    picture = world.render(camera)
    assert picture.shape == (96, 96, 3)
    assert picture.dtype == np.uint8
    assert picture.std() > 15


def test_named_block_is_seen_where_it_stands(world: TabletopSim) -> None:
    """Moving only the named block changes the picture, so a policy can see where it is."""
    world.reset(seed=5, task="pick_object")
    before = world.render("front").astype(int)
    start = int(
        world.model.joint(f"block{world.layout.colors.index(world.episode.color)}").qposadr[0]
    )
    world.data.qpos[start] += 0.05
    world.advance(0.01)
    changed = np.abs(world.render("front").astype(int) - before).max(axis=-1) > 40
    assert changed.sum() > 20


@pytest.mark.parametrize("camera", ["front", "wrist"])
def test_place_in_the_picture_is_where_the_block_is_drawn(world: TabletopSim, camera: str) -> None:
    """Painting the named block white changes the picture around the place that is told."""
    world.reset(seed=5, task="pick_object")
    before = world.render(camera).astype(int)
    block = world.layout.colors.index(world.episode.color)
    world.model.geom(f"block{block}").rgba[:3] = 1.0
    changed = np.abs(world.render(camera).astype(int) - before).max(axis=-1) > 20
    down, right = (np.argwhere(changed).mean(axis=0) + 0.5) / 48 - 1
    told = world.place_in_picture(camera, world.target_m)
    np.testing.assert_allclose(told, [right, down], atol=0.06)


def test_place_behind_a_camera_is_outside_its_picture(world: TabletopSim) -> None:
    world.reset(seed=5, task="pick_object")
    behind_m = 2 * world.data.camera("front").xpos - world.target_m
    np.testing.assert_array_equal(world.place_in_picture("front", behind_m), [2.0, 2.0])


def test_success_needs_a_whole_second_and_pays_once(world: TabletopSim) -> None:
    world.reset(seed=1, task="close_drawer")
    world.data.qpos[world.model.joint("drawer").qposadr[0]] = 0.0
    rewards = []
    for _ in range(99):
        world.advance(0.01)
        rewards.append(world.reward())
    assert not world.success
    for _ in range(20):
        world.advance(0.01)
        rewards.append(world.reward())
    assert world.success
    assert 1.0 < sum(rewards) <= 2.0
    assert sum(reward > 0.9 for reward in rewards) == 1


def test_goal_that_breaks_starts_its_second_anew(world: TabletopSim) -> None:
    world.reset(seed=1, task="close_drawer")
    drawer = world.model.joint("drawer").qposadr[0]
    for opening_m in (0.0, 0.1, 0.0):
        world.data.qpos[drawer] = opening_m
        for _ in range(60):
            world.advance(0.01)
    assert not world.success


def test_a_push_that_lifts_the_block_does_not_count(world: TabletopSim) -> None:
    world.reset(seed=2, task="push_object")
    index = world.layout.colors.index(world.episode.color)
    start = int(world.model.joint(f"block{index}").qposadr[0])
    world.data.qpos[start : start + 3] = (*world.goal_xy_m, 0.15)
    for _ in range(200):
        world.advance(0.01)
    assert np.linalg.norm(world.block_m(world.episode.color)[:2] - world.goal_xy_m) < 0.04
    assert not world.success


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": -1}, "seed -1 is negative"),
        ({"seed": 1, "task": "juggle"}, "task 'juggle' is unknown; valid: pick_object"),
        ({"seed": 1, "task": TASKS[0], "combinations": "odd"}, "valid: seen, heldout, all"),
        ({"seed": 1, "task": TASKS[0], "wordings": "odd"}, "wordings 'odd'; valid: seen, heldout"),
    ],
)
def test_bad_arguments_say_what_is_valid(
    world: TabletopSim, arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(SceneError, match=message):
        world.reset(**arguments)  # type: ignore[arg-type]


def test_unknown_camera_is_refused(world: TabletopSim) -> None:
    with pytest.raises(SceneError, match="camera 'left' is unknown; valid: front, wrist"):
        world.render("left")
