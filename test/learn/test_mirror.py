"""What is shown in the mirror is what would happen there: replayed in a mirrored MuJoCo scene."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import mujoco
import numpy as np
import pytest

from vla_ros.datatypes import ActionChunk, FloatArray, Observation
from vla_ros.errors import ParameterError
from vla_ros.learn.batches import Rows
from vla_ros.learn.dataset import Dataset
from vla_ros.learn.episode import EpisodeInfo
from vla_ros.learn.expert_policy import STEP_S, ExpertPolicy, Row, simulated_spec
from vla_ros.learn.mirror import (
    OTHER_SIDE,
    Mirror,
    RawRows,
    can_mirror,
    check_mirror,
    mirror_text,
    with_mirrored,
)
from vla_ros.learn.rollout import Outcome, run_episode, step_by_step
from vla_ros.model.tokenizer import SPECIAL, Tokenizer, pad
from vla_ros.robot_config import RobotConfig, load_robot
from vla_ros.share import share_path
from vla_ros.sim.scene import ARM_JOINTS, CAMERAS
from vla_ros.sim.tasks import Request
from vla_ros.sim.world import TabletopSim

ROBOT = load_robot(share_path("config/panda.yaml"))
ACROSS = np.diag([1.0, -1.0, 1.0])
# Frames of a camera: right, up, back; its picture is flipped.
FLIPPED = np.diag([-1.0, 1.0, 1.0])


@pytest.fixture(scope="module")
def world() -> Iterator[TabletopSim]:
    world = TabletopSim(render_px=96)
    yield world
    world.close()


@dataclass(kw_only=True)
class Replay:
    """Plays recorded actions (N, 8), one a step, whatever it sees."""

    actions: FloatArray
    played: int = 0

    def __post_init__(self) -> None:
        self.spec = simulated_spec(ROBOT, horizon=1)

    def reset(self) -> None:
        self.played = 0

    def infer(self, observation: Observation, prefix: object = None) -> ActionChunk:
        action = self.actions[min(self.played, len(self.actions) - 1)]
        self.played += 1
        stamp_s, epoch = observation.stamp_s, observation.epoch
        return ActionChunk(
            actions=action[None], start_s=stamp_s, step_s=STEP_S, epoch=epoch, inference_s=0.0
        )


def sides(name: str) -> str:
    return " ".join(OTHER_SIDE.get(word, word) for word in name.split())


def mirror_scene(world: TabletopSim) -> None:
    """Mirror the scene that was just reset, and what is asked for."""
    model, data, layout, asked = world.model, world.data, world.layout, world.episode
    left, right = (model.body(f"mark_{side}").id for side in ("left", "right"))
    model.body_pos[[left, right]] = model.body_pos[[right, left]]
    left, right = (model.geom(f"mark_{side}").id for side in ("left", "right"))
    model.geom_rgba[[left, right]] = model.geom_rgba[[right, left]]
    for name in ("mark_left", "mark_right", "mark_front", "tray", "cabinet"):
        model.body_pos[model.body(name).id, 1] *= -1
    for index in range(len(layout.colors)):
        start = int(model.joint(f"block{index}").qposadr[0])
        data.qpos[start : start + 7] *= [1, -1, 1, 1, -1, 1, -1]
    joints = [int(model.joint(name).qposadr[0]) for name in ARM_JOINTS]
    data.qpos[joints] = ROBOT.mirror.joints(data.qpos[joints])
    data.qvel[:] = 0
    front, wrist = model.camera("front").id, model.camera("wrist").id
    seen = np.zeros(9)
    mujoco.mju_quat2Mat(seen, model.cam_quat[front])
    mujoco.mju_mat2Quat(model.cam_quat[front], (ACROSS @ seen.reshape(3, 3) @ FLIPPED).ravel())
    model.cam_pos[front, 1] *= -1
    model.cam_pos[wrist, 0] *= -1  # sideways in the hand
    model.light_dir[model.light("lamp").id, 1] *= -1
    marks = {sides(name): xy * [1, -1] for name, xy in layout.mark_xy_m.items()}
    world.layout = replace(
        layout,
        block_xy_m=layout.block_xy_m * [1, -1],
        mark_xy_m=marks,
        tray_xy_m=layout.tray_xy_m * [1, -1],
        cabinet_xy_m=layout.cabinet_xy_m * [1, -1],
        arm_rad=ROBOT.mirror.joints(layout.arm_rad),
    )
    world.set_target(world.layout.arm_rad, 1.0)
    mujoco.mj_forward(model, data)
    request = Request(
        task=asked.task,
        color=asked.color,
        direction=sides(asked.direction),
        place=sides(asked.place),
    )
    world.ask(request, mirror_text(asked.instruction))


def raw_rows(rows: list[Row], instruction: str) -> tuple[RawRows, Tokenizer]:
    """What `Rows` gathers of a recorded episode, chunks of one step."""
    tokenizer = Tokenizer.from_texts(with_mirrored([instruction]), 32)
    observed = [row.observation for row in rows]
    raw = RawRows(
        pixels=np.stack([[o.frames[name].pixels for name in CAMERAS] for o in observed]),
        tokens=np.repeat(tokenizer.encode(instruction)[None], len(rows), axis=0),
        state=np.stack([np.append(o.state.position_rad, o.state.gripper_open) for o in observed]),
        actions=np.stack([row.action for row in rows])[:, None],
        target_m=np.stack([row.target_m for row in rows]).astype(np.float32),
        target_uv=np.stack([row.target_uv for row in rows]).astype(np.float32),
    )
    return raw, tokenizer


def replay(world: TabletopSim, actions: FloatArray) -> tuple[Outcome, list[Row]]:
    """Play `actions`; what an expert beside it would record of the first moment, too."""
    rows: list[Row] = []
    ExpertPolicy(ROBOT, world, rows=rows).infer(look(world))
    return run_episode(world, Replay(actions=actions), step_by_step(ROBOT, STEP_S)), rows


def look(world: TabletopSim) -> Observation:
    from vla_ros.learn.rollout import look

    return look(world, world.episode.instruction)


WANTED = {
    "pick_object": lambda e: True,
    "push_object": lambda e: e.direction == "left",
    "place_object": lambda e: e.place == "right mark",
}


@pytest.mark.parametrize("task", WANTED)
def test_mirrored_demonstrations_succeed_in_the_mirrored_scene(
    world: TabletopSim, task: str
) -> None:
    seed = next(s for s in range(100) if WANTED[task](world.reset(seed=s, task=task)))
    rows: list[Row] = []
    instruction = world.episode.instruction
    expert = ExpertPolicy(ROBOT, world, rows=rows)
    assert run_episode(world, expert, step_by_step(ROBOT, STEP_S)).success
    raw, tokenizer = raw_rows(rows, instruction)
    mirrored = Mirror(ROBOT.mirror, tokenizer).reflect(raw, np.ones(len(rows), bool))

    world.reset(seed=seed, task=task)
    mirror_scene(world)
    outcome, (first,) = replay(world, mirrored.actions[:, 0])
    assert outcome.success
    assert tokenizer.encode(world.episode.instruction).tolist() == mirrored.tokens[0].tolist()
    seen, _ = raw_rows([first], instruction)
    np.testing.assert_allclose(mirrored.state[0], seen.state[0], atol=2e-3)
    np.testing.assert_allclose(mirrored.target_m[0], seen.target_m[0], atol=2e-3)
    np.testing.assert_allclose(mirrored.target_uv[0], seen.target_uv[0], atol=0.02)
    for camera in range(len(CAMERAS)):
        there, here = seen.pixels[0, camera], mirrored.pixels[0, camera]
        off = np.abs(there.astype(int) - here).mean()
        unmirrored = np.abs(there.astype(int) - raw.pixels[0, camera]).mean()
        assert off < 3  # of 255; a cover of link 5 stands to one side
        assert unmirrored > 3 * off


def test_the_words_alone_do_not_make_a_demonstration(world: TabletopSim) -> None:
    """Actions that are not mirrored do not push the block of the mirrored scene."""
    seed = next(
        s
        for s in range(100)
        if world.reset(seed=s, task="push_object").direction == "left"
        and abs(world.target_m[1]) > 0.05
    )
    rows: list[Row] = []
    run_episode(world, ExpertPolicy(ROBOT, world, rows=rows), step_by_step(ROBOT, STEP_S))
    world.reset(seed=seed, task="push_object")
    mirror_scene(world)
    outcome, _ = replay(world, np.stack([row.action for row in rows]))
    assert not outcome.success


def toy_rows(mirror: bool) -> tuple[Rows, Dataset]:
    """A row of `push left`, `push right` and `open drawer` each, 100 times over."""
    texts = ("push the red block left", "push the red block right", "open the drawer")
    state = np.random.default_rng(0).normal(0, 0.3, (300, 8)).astype(np.float32)
    episodes = tuple(
        EpisodeInfo(
            instruction=texts[i % 3],
            task=texts[i % 3].split()[0],
            color="",
            direction="",
            place="",
            seed=None,
            start=i,
            stop=i + 1,
        )
        for i in range(300)
    )
    dataset = Dataset(
        frames={"front": np.zeros((300, 32, 32, 3), np.uint8)},  # type: ignore[dict-item]
        state=state,
        action=state + 0.1,
        target_m=np.ones((300, 3), np.float32),
        target_uv=np.full((300, 1, 2), 0.5, np.float32),
        episodes=episodes,
        fps=10.0,
        robot="panda",
        state_names=ROBOT.action_names,
        action_names=ROBOT.action_names,
    )
    tokenizer = Tokenizer.from_texts(with_mirrored(texts), 8)
    reflect = Mirror(ROBOT.mirror, tokenizer) if mirror else None
    return Rows(dataset, ("front",), ROBOT.chain, tokenizer, 1, reflect), dataset


def test_half_of_what_may_be_mirrored_is_and_the_drawer_never() -> None:
    rows, dataset = toy_rows(mirror=True)
    normalizer = rows.fit_normalizer(np.arange(300))
    batch = rows.batch(np.arange(300), normalizer, np.random.default_rng(0))
    mirrored = batch.target_m[:, 1] < 0
    assert not mirrored[2::3].any()
    drawn = [rows.batch(np.arange(300), normalizer, np.random.default_rng(i)) for i in range(9)]
    shares = np.stack([one.target_m[:, 1] < 0 for one in drawn]).reshape(9, 100, 3).mean((0, 1))
    assert 0.45 < shares[0] < 0.55
    assert 0.45 < shares[1] < 0.55
    assert shares[2] == 0
    np.testing.assert_array_equal(batch.target_uv[:, 0, 0] < 0, mirrored)
    where = np.abs(dataset.state[:, 0]) > 0.01
    wanted = normalizer.normalize_features(rows._features)[:, 0]
    as_recorded = np.isclose(batch.state[:, 0], wanted, atol=1e-5)
    np.testing.assert_array_equal(as_recorded[where], ~mirrored[where])
    left, right = batch.instruction[0::3], batch.instruction[1::3]
    asked_left = [*left[~mirrored[0::3]], *right[mirrored[1::3]]]
    asked_right = [*right[~mirrored[1::3]], *left[mirrored[0::3]]]
    assert len(set(asked_left)) == len(set(asked_right)) == 1
    assert len({asked_left[0], asked_right[0], batch.instruction[2]}) == 3


def test_validation_is_never_mirrored() -> None:
    rows, _ = toy_rows(mirror=True)
    plain, _ = toy_rows(mirror=False)
    normalizer = rows.fit_normalizer(np.arange(300))
    one, other = (r.batch(np.arange(300), normalizer) for r in (rows, plain))
    np.testing.assert_array_equal(one.target_m, other.target_m)
    np.testing.assert_array_equal(one.chunk, other.chunk)


def test_twice_mirrored_is_as_it_was() -> None:
    rng = np.random.default_rng(0)
    tokenizer = Tokenizer.from_texts(["push it left", "right"], 8)
    raw = RawRows(
        pixels=rng.integers(0, 256, (4, 2, 6, 6, 3), dtype=np.uint8),
        tokens=pad([tokenizer.encode(text) for text in ("push it left", "right", "it", "push")]),
        state=rng.normal(size=(4, 8)),
        actions=rng.normal(size=(4, 5, 8)),
        target_m=rng.normal(size=(4, 3)).astype(np.float32),
        target_uv=rng.normal(size=(4, 2, 2)).astype(np.float32),
    )
    mirror, chosen = Mirror(ROBOT.mirror, tokenizer), np.array([True, True, False, True])
    once = mirror.reflect(raw, chosen)
    twice = mirror.reflect(once, chosen)
    for name, value in vars(raw).items():
        np.testing.assert_allclose(vars(twice)[name], value, atol=1e-12)
        assert vars(once)[name].dtype == value.dtype
        np.testing.assert_array_equal(vars(once)[name][2], value[2])
    assert len(SPECIAL) not in once.tokens[:, 0]


@pytest.mark.parametrize(
    ("text", "mirrored"),
    [
        ("push the red block to the left mark", "push the red block to the right mark"),
        ("Slide it RIGHT.", "slide it left"),
        ("pick up the red block", "pick up the red block"),
    ],
)
def test_words_change_sides(text: str, mirrored: str) -> None:
    assert mirror_text(text) == mirrored
    assert can_mirror(text)


@pytest.mark.parametrize("text", ["open the drawer", "put the red block on the tray"])
def test_what_stands_on_one_side_is_not_mirrored(text: str) -> None:
    assert not can_mirror(text)
    assert with_mirrored([text]) == [text]


@pytest.mark.parametrize(
    ("robot", "told"),
    [
        (load_robot(share_path("config/ur5e.yaml")), "ur5e.yaml has no `mirror`"),
        (ROBOT, "camera side is not in mirror.cameras"),
    ],
)
def test_an_arm_or_a_camera_that_has_no_mirror_is_refused(robot: RobotConfig, told: str) -> None:
    with pytest.raises(ParameterError) as caught:
        check_mirror(robot, ("front", "side"))
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("signs: [-1, 1", "signs: [1, 1"), "mirror: with these signs and offsets the tip is"),
        (("1.5707963267948966", "0"), "its axes up to"),
        (("1.5707963267948966", ".nan"), "mirror.offset_rad.6: got nan; valid: a finite number"),
        (("signs: [-1, 1", "signs: [-1, .inf"), "mirror.signs.1: inf is not one of [1, -1]"),
        (("signs: [-1, 1, ", "signs: [1, "), "mirror.signs: has 6 values for 7 joints"),
        (("cameras: [front", "cameras: [side"), "there is no camera 'side'; valid: front, wrist"),
    ],
)
def test_a_wrong_mirror_in_the_robot_file_is_refused(
    tmp_path: Path, change: tuple[str, str], told: str
) -> None:
    text = ROBOT.path.read_text()
    assert text.count(change[0]) == 1
    text = text.replace(*change).replace("../description", str(ROBOT.urdf_path.parent))
    (tmp_path / "panda.yaml").write_text(text)
    with pytest.raises(Exception, match="robot file") as caught:
        load_robot(tmp_path / "panda.yaml")
    assert told in str(caught.value)
