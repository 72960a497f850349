"""The simulated tabletop: one MuJoCo model that is reset by seed, moved and rendered."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from vla_ros.datatypes import FloatArray, ImageArray, RobotState
from vla_ros.errors import SceneError
from vla_ros.sim.appearance import apply_appearance
from vla_ros.sim.disturbance import (
    DELAY_S,
    Kick,
    LateCommands,
    check_disturbance,
    disturb_layout,
    disturb_model,
)
from vla_ros.sim.goal import Facts
from vla_ros.sim.layout import BLOCKS, draw_layout
from vla_ros.sim.placement import place_things
from vla_ros.sim.scene import (
    ARM_JOINTS,
    CAMERAS,
    FINGER_JOINTS,
    FINGER_OPEN_M,
    TIMESTEP_S,
    build_model,
)
from vla_ros.sim.score import Score
from vla_ros.sim.tasks import TASKS, Request, check_task, draw_template, write_instruction

RENDER_PX = 192
# Streams of random numbers: the scene's own has none, the collector has 1, evaluation 2.
_DISTURBANCE_STREAM = 3
_FINGERS = ("panda_finger1", "panda_finger2")


@dataclass(frozen=True, kw_only=True)
class Episode:
    """What an episode asks for, in words and in parts; unused parts are empty."""

    seed: int
    task: str
    color: str
    direction: str
    place: str
    instruction: str


class TabletopSim:
    """The arm and its table; positions in metres and radians in the base frame."""

    def __init__(self, render_px: int = RENDER_PX, *, disturbance: str = "") -> None:
        """Build the scene.

        Args:
            render_px: Edge of the square pictures of the two cameras.
            disturbance: One of `DISTURBANCES`, for all episodes; empty for none.
        """
        self.disturbance = check_disturbance(disturbance)
        has_distractor = disturbance == "distractor"
        self.model = build_model(render_px, distractor=has_distractor)
        self.data = mujoco.MjData(self.model)
        self.render_px = render_px
        self._rest = build_model(render_px, distractor=has_distractor)
        self._renderers: dict[tuple[int, int], mujoco.Renderer] = {}
        self._arm_qpos = [int(self.model.joint(name).qposadr[0]) for name in ARM_JOINTS]
        self._arm_dof = [int(self.model.joint(name).dofadr[0]) for name in ARM_JOINTS]
        self._finger_qpos = [int(self.model.joint(name).qposadr[0]) for name in FINGER_JOINTS]
        self._drawer_qpos = int(self.model.joint("drawer").qposadr[0])
        self._finger_bodies = [int(self.model.body(name).id) for name in _FINGERS]
        self._hand_bodies = [*self._finger_bodies, int(self.model.body("panda_hand").id)]
        self._target = np.zeros(self.model.nu)
        self._block_bodies = [int(self.model.body(f"block{i}").id) for i in range(BLOCKS)]
        self.reset(seed=0, task=TASKS[0])

    def reset(
        self,
        *,
        seed: int,
        task: str | None = None,
        combinations: str = "seen",
        wordings: str = "seen",
        instruction: str | None = None,
    ) -> Episode:
        """Start the episode of `seed`.

        Args:
            seed: 0 or more; the same seed and task give the same scene and words.
            task: One of `TASKS`; `None` draws one.
            combinations: `seen`, `heldout` or `all` pairs of verb and colour.
            wordings: `seen` or `heldout` templates.
            instruction: A template to use instead, with `{color}`, `{direction}`, `{place}`.

        Raises:
            SceneError: An argument that is not valid.
        """
        if seed < 0:
            raise SceneError(f"seed {seed} is negative; valid: 0 or more")
        task = check_task(task or TASKS[np.random.default_rng(seed).integers(len(TASKS))])
        rng = np.random.default_rng([seed, TASKS.index(task)])
        chance = np.random.default_rng([seed, TASKS.index(task), _DISTURBANCE_STREAM])
        drawn = draw_layout(rng, task, combinations)
        self.layout = disturb_layout(self.disturbance, drawn, chance)
        mujoco.mj_resetData(self.model, self.data)
        place_things(self.model, self.data, self.layout)
        apply_appearance(self.model, rng, self.layout, self._rest)
        disturb_model(self.disturbance, self.model, self.data, self.layout, self._rest, chance)
        self._late = LateCommands(DELAY_S) if self.disturbance == "delay" else None
        self._kick = Kick(self.layout, chance) if self.disturbance == "kick" else None
        self._settle()
        self.episode = _episode(seed, self.layout.request, rng, wordings, instruction)
        self._score = Score(self.request, self._look(), self.time_s)
        return self.episode

    def ask(self, request: Request, instruction: str) -> Episode:
        """Ask for something else in the running episode; the score begins anew."""
        self.episode = Episode(seed=self.episode.seed, instruction=instruction, **vars(request))
        self._score = Score(self.request, self._look(), self.time_s)
        return self.episode

    @property
    def request(self) -> Request:
        """What the running episode asks for."""
        e = self.episode
        return Request(task=e.task, color=e.color, direction=e.direction, place=e.place)

    @property
    def time_s(self) -> float:
        """Simulated time since the reset."""
        return float(self.data.time)

    def set_target(self, position_rad: FloatArray, gripper_open: float | None) -> None:
        """Set the position servos' targets; `gripper_open` in [0, 1], `None` leaves the gripper."""
        self._target[:7] = position_rad
        if gripper_open is not None:
            self._target[7:9] = FINGER_OPEN_M * min(max(gripper_open, 0.0), 1.0)
        if self._late is None:
            self.data.ctrl[:] = self._target
        else:
            self._late.put(self.time_s, self._target.copy())

    def advance(self, duration_s: float) -> None:
        """Simulate `duration_s`, a multiple of the 5 ms physics step, and keep score."""
        self._disturb()
        steps = round(duration_s / TIMESTEP_S)
        mujoco.mj_step(self.model, self.data, steps)
        self._score.update(self._look(), self.time_s)

    def state(self) -> RobotState:
        """Measured state of the arm; its stamp is the simulated time."""
        return RobotState(
            position_rad=self.data.qpos[self._arm_qpos].copy(),
            velocity_rad_s=self.data.qvel[self._arm_dof].copy(),
            gripper_open=self.gripper_open,
            stamp_s=self.time_s,
        )

    @property
    def gripper_open(self) -> float:
        """Measured opening of the gripper in [0, 1]."""
        return float(np.clip(self.finger_m[0] / FINGER_OPEN_M, 0.0, 1.0))

    @property
    def finger_m(self) -> FloatArray:
        """Positions of the two finger joints, shape (2,)."""
        return np.array(self.data.qpos[self._finger_qpos])

    @property
    def success(self) -> bool:
        """Whether the goal has held for a whole second."""
        return self._score.success

    def reward(self) -> float:
        """Reward since the last call: change of progress, plus 1 at the moment of success."""
        return self._score.reward()

    @property
    def target_m(self) -> FloatArray:
        """Position of the named block, or of the drawer's handle, shape (3,)."""
        return self.block_m(self.episode.color) if self.episode.color else self.handle_m

    def block_m(self, color: str) -> FloatArray:
        """Centre of a block, shape (3,)."""
        return np.array(self.data.body(f"block{self.layout.colors.index(color)}").xpos)

    @property
    def handle_m(self) -> FloatArray:
        """Centre of the drawer's handle, shape (3,)."""
        return np.array(self.data.geom("handle").xpos)

    @property
    def drawer_m(self) -> float:
        """Opening of the drawer, 0 is shut."""
        return float(self.data.qpos[self._drawer_qpos])

    @property
    def goal_xy_m(self) -> FloatArray:
        """Centre of the mark or tray that the episode names, shape (2,); zeros without one."""
        request = self.request
        if request.place == "tray":
            return self.layout.tray_xy_m
        name = request.direction or request.place.removesuffix(" mark")
        return self.layout.mark_xy_m.get(name, np.zeros(2))

    def place_in_picture(self, camera: str, point_m: FloatArray) -> FloatArray:
        """Where `camera` sees a point of the base frame now: right and down, -1 to 1, shape (2,).

        Beyond that range it is outside the picture; twos when it lies behind the camera.
        """
        seen = self.data.camera(camera)
        right_m, up_m, back_m = seen.xmat.reshape(3, 3).T @ (point_m - seen.xpos)
        if back_m > -1e-3:
            return np.full(2, 2.0)
        half = -back_m * np.tan(np.deg2rad(self.model.camera(camera).fovy[0]) / 2)
        return np.asarray(np.clip(np.array([right_m, -up_m]) / half, -2.0, 2.0))

    def touched_blocks(self) -> set[str]:
        """Colours of the blocks that the hand or a finger touches now."""
        return {
            self.layout.colors[self._block_bodies.index(block)]
            for block, hand in self._contacts()
            if block in self._block_bodies and hand in self._hand_bodies
        }

    def is_gripping(self, color: str) -> bool:
        """Whether both fingers touch the block."""
        body = self._block_bodies[self.layout.colors.index(color)]
        fingers = {finger for block, finger in self._contacts() if block == body}
        return fingers.issuperset(self._finger_bodies)

    def _contacts(self) -> list[tuple[int, int]]:
        """Bodies in contact, each pair in both orders."""
        # Plain lists: a handful of contacts is looked at every tick, and numpy's overhead counts.
        pairs = self.model.geom_bodyid[self.data.contact.geom].tolist()
        return [pair for a, b in pairs for pair in ((a, b), (b, a))]

    def render(self, camera: str) -> ImageArray:
        """Picture of `front` or `wrist`, uint8 (render_px, render_px, 3) RGB."""
        if camera not in CAMERAS:
            raise SceneError(f"camera {camera!r} is unknown; valid: {', '.join(CAMERAS)}")
        return self.render_view(camera, self.render_px, self.render_px)

    def render_view(self, camera: str, height_px: int, width_px: int) -> ImageArray:
        """Picture of any camera of the scene (also `demo`) at any size up to 640×480."""
        key = (height_px, width_px)
        if key not in self._renderers:
            self._renderers[key] = mujoco.Renderer(self.model, *key)
        renderer = self._renderers[key]
        renderer.update_scene(self.data, camera)
        return np.asarray(renderer.render(), np.uint8)

    def close(self) -> None:
        """Free the renderers."""
        for renderer in self._renderers.values():
            renderer.close()
        self._renderers.clear()

    def _disturb(self) -> None:
        """Let late targets arrive, and kick the named block when it is time."""
        arrived = None if self._late is None else self._late.due(self.time_s)
        if arrived is not None:
            self.data.ctrl[:] = arrived
        if self._kick is not None and self.episode.color:
            dof = self._block_dof(self.episode.color)
            self._kick.update(self.time_s, self.data.qvel[dof : dof + 6])

    def _block_dof(self, color: str) -> int:
        """Where the six velocities of a block begin."""
        return int(self.model.joint(f"block{self.layout.colors.index(color)}").dofadr[0])

    def _look(self) -> Facts:
        """What the goals look at, now."""
        color = self.episode.color
        index = self.layout.colors.index(color) if color else 0
        dof = self._block_dof(self.layout.colors[index])
        return Facts(
            block_m=self.block_m(color) if color else np.zeros(3),
            block_half_m=float(self.layout.block_half_m[index]),
            block_speed_m_s=float(np.linalg.norm(self.data.qvel[dof : dof + 3])),
            goal_xy_m=self.goal_xy_m,
            touched=color in self.touched_blocks() if color else False,
            drawer_m=self.drawer_m,
        )

    def _settle(self) -> None:
        """Let everything come to rest at simulated time zero."""
        self.set_target(self.layout.arm_rad, 1.0)
        self.data.ctrl[:] = self._target
        mujoco.mj_forward(self.model, self.data)
        mujoco.mj_step(self.model, self.data, 20)
        self.data.time = 0.0
        mujoco.mj_forward(self.model, self.data)


def _episode(
    seed: int,
    request: Request,
    rng: np.random.Generator,
    wordings: str,
    instruction: str | None,
) -> Episode:
    drawn = draw_template(rng, request.task, wordings)
    text = write_instruction(request, instruction or drawn)
    return Episode(seed=seed, instruction=text, **vars(request))
