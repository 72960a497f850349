"""What a policy is to the control loop: a specification and `infer`.

It stands at the bottom layer, so that the runtime can name it without importing a policy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from vla_ros.datatypes import ActionChunk, ActionPrefix, FloatArray, Observation
from vla_ros.kinematics import KinematicChain

DEVICES = ("auto", "cpu", "cuda")
"""Where a policy may compute; `auto` takes CUDA where there is one."""
LEROBOT = "lerobot"
BACKENDS = ("vla", LEROBOT)
"""What a policy was trained with: this package, or LeRobot."""
PRECISIONS = ("exact", "bf16", "int8")
"""How a policy computes: `exact` in the checkpoint's own numbers; in less time with shorter ones,
`bf16` on CUDA, `int8` on a CPU."""


@dataclass(frozen=True, kw_only=True)
class CameraSpec:
    """A camera as the policy wants it.

    Attributes:
        name: Name in the robot file.
        height_px: Height of the model's input.
        width_px: Width of the model's input.
        resize: `letterbox` (whole picture, padded) or `crop` (centre, filled).
    """

    name: str
    height_px: int
    width_px: int
    resize: str


@dataclass(frozen=True, kw_only=True)
class PolicySpec:
    """What a policy needs and gives.

    Attributes:
        robot: Name of the robot the policy was trained for.
        cameras: Cameras it looks through.
        state_names: Names of the measured joints, in order, gripper last when there is one.
        action_names: Names of the action's entries, in order, gripper last when there is one.
        horizon: Number of steps T in a chunk.
        step_s: Time between two steps.
        chain: Kinematics it takes the arm to have; `None` for a policy that uses none.
        action_meaning: What the actions are, in the words of the robot file's
            `actions.arm.meaning`; `policy/meaning.py` converts what is not the default.
        prefix_steps: Most steps of the running plan that it takes as a prefix of the new one; 0 for
            a policy that plans without.
    """

    robot: str
    cameras: tuple[CameraSpec, ...]
    state_names: tuple[str, ...]
    action_names: tuple[str, ...]
    horizon: int
    step_s: float
    chain: KinematicChain | None = field(default=None, compare=False)
    action_meaning: str = "absolute_joint_position"
    prefix_steps: int = 0

    def chunks(
        self, actions: FloatArray, observations: Sequence[Observation], inference_s: float
    ) -> list[ActionChunk]:
        """Chunks that begin when they were observed, from `actions` (B, T, A) of B observations."""
        return [
            ActionChunk(
                actions=steps,
                start_s=observation.stamp_s,
                step_s=self.step_s,
                epoch=observation.epoch,
                inference_s=inference_s,
            )
            for steps, observation in zip(actions, observations, strict=True)
        ]


class Policy(Protocol):
    """Anything that turns an observation into an action chunk."""

    spec: PolicySpec

    def reset(self) -> None:
        """Forget everything about the running episode."""

    def infer(self, observation: Observation, prefix: ActionPrefix | None = None) -> ActionChunk:
        """Plan from `observation`; `ActionChunk.actions` are absolute joint positions.

        A policy continues the first `spec.prefix_steps` of `prefix`, the running plan; `None` when
        there is none, or it is not to be continued.
        """


@runtime_checkable
class AttentivePolicy(Protocol):
    """A policy that can tell where its words look."""

    def attention(self, observation: Observation) -> Mapping[str, FloatArray]:
        """By camera: share of each cell of a grid over the picture, sum 1, (rows, columns)."""
