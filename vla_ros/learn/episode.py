"""One demonstration, as the collector hands it over and as a dataset lists it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_ros.datatypes import ImageArray

Float32Array = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class EpisodeData:
    """One recorded episode of N rows, a row every 1/fps.

    Attributes:
        frames: By camera name: uint8 (N, H, W, 3) RGB, picture of each row.
        state: Shape (N, S): measured joint positions [rad], then the gripper opening in [0, 1]
            when the robot has a gripper.
        action: Shape (N, A): the absolute target due one row later, in the same units.
        target_m: Shape (N, 3): position of the named object in the base frame, which a simulation
            knows; `None` in a dataset that does not say.
        target_uv: Shape (N, C, 2): where each camera sees it, right and down, -1 to 1 across the
            picture, the cameras in the order of `frames`; beyond that range it is out of sight.
        instruction: The text the episode follows.
        task: Kind of task, such as `pick_object`.
        color: Colour the instruction names; empty when it names none.
        direction: Direction the instruction names; empty when it names none.
        place: Place the instruction names; empty when it names none.
        seed: Seed of the scene.
    """

    frames: Mapping[str, ImageArray]
    state: Float32Array
    action: Float32Array
    target_m: Float32Array | None = None
    target_uv: Float32Array | None = None
    instruction: str
    task: str
    color: str = ""
    direction: str = ""
    place: str = ""
    seed: int

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.state)


@dataclass(frozen=True, kw_only=True)
class EpisodeInfo:
    """Where an episode lies in the arrays of a dataset, and what it was asked to do.

    Its rows are `start` up to, not including, `stop`. Texts are empty and `seed` is `None` when
    the dataset does not say.
    """

    instruction: str
    task: str
    color: str
    direction: str
    place: str
    seed: int | None
    start: int
    stop: int
