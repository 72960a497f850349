"""The same demonstration in a mirror: pictures, words, state and actions together.

The mirror stands on the base's x-z plane. A flipped picture alone would teach the wrong side.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_ros.datatypes import FloatArray, ImageArray
from vla_ros.errors import ParameterError
from vla_ros.model.tokenizer import Tokenizer, split_words
from vla_ros.policy.normalizer import Float32Array
from vla_ros.robot_config import RobotConfig
from vla_ros.robot_mirror import MirrorConfig

IntArray = NDArray[np.int64]
_SIDES = {
    "left": "right",
    "leftmost": "rightmost",
    "leftward": "rightward",
    "lefthand": "righthand",
}
OTHER_SIDE = _SIDES | {right: left for left, right in _SIDES.items()}
_ACROSS, _FLIPPED = np.array([1, -1, 1], np.float32), np.array([-1, 1], np.float32)
# They stand on one side of the tabletop, never on the other: their mirrored scene is none.
ONE_SIDED = frozenset({"drawer", "tray"})


@dataclass(frozen=True, kw_only=True, eq=False)
class RawRows:
    """B rows of a dataset, before normalisation.

    Attributes:
        pixels: uint8 (B, C, H, W, 3) RGB.
        tokens: int64 (B, L).
        state: Joint positions [rad], then the gripper opening when there is one, shape (B, S).
        actions: Targets in the same units, shape (B, T, A).
        target_m: Position of the named object in the base frame, shape (B, 3).
        target_uv: Where each camera sees it, right and down, shape (B, C, 2).
    """

    pixels: ImageArray
    tokens: IntArray
    state: FloatArray
    actions: FloatArray
    target_m: Float32Array
    target_uv: Float32Array


class Mirror:
    """Mirrors rows.

    Args:
        config: The `mirror` of the robot file.
        tokenizer: Knows the words of both sides.
    """

    def __init__(self, config: MirrorConfig, tokenizer: Tokenizer) -> None:
        self._config = config
        ids = {word: number for number, word in enumerate(tokenizer.vocabulary)}
        self._other = np.arange(len(ids))
        for word, number in ids.items():
            self._other[number] = ids.get(OTHER_SIDE.get(word, word), number)

    def reflect(self, rows: RawRows, chosen: NDArray[np.bool_]) -> RawRows:
        """`rows` with those that are `chosen` (B,) mirrored."""

        def where(mirrored: NDArray[Any], plain: NDArray[Any]) -> NDArray[Any]:
            return np.where(chosen.reshape(-1, *[1] * (plain.ndim - 1)), mirrored, plain)

        return RawRows(
            pixels=where(rows.pixels[:, :, :, ::-1], rows.pixels),
            tokens=where(self._other[rows.tokens], rows.tokens),
            state=where(self._joints(rows.state), rows.state),
            actions=where(self._joints(rows.actions), rows.actions),
            target_m=where(rows.target_m * _ACROSS, rows.target_m),
            target_uv=where(rows.target_uv * _FLIPPED, rows.target_uv),
        )

    def _joints(self, values: FloatArray) -> FloatArray:
        """States or actions (..., S); the gripper's opening has no side."""
        joints = len(self._config.signs)
        mirrored = self._config.joints(values[..., :joints])
        return np.concatenate([mirrored, values[..., joints:]], axis=-1)


def mirror_text(text: str) -> str:
    """The words for the mirrored scene."""
    return " ".join(OTHER_SIDE.get(word, word) for word in split_words(text))


def can_mirror(text: str) -> bool:
    """Whether the mirrored scene of an instruction is one that can be met."""
    return ONE_SIDED.isdisjoint(split_words(text))


def with_mirrored(texts: Iterable[str]) -> list[str]:
    """`texts` and what `mirror_text` makes of those that can be mirrored."""
    texts = list(texts)
    return texts + [mirror_text(text) for text in texts if can_mirror(text)]


def check_mirror(robot: RobotConfig, cameras: Sequence[str]) -> MirrorConfig:
    """The mirror of `robot`, when all `cameras` of a dataset can be mirrored.

    Raises:
        ParameterError: They cannot; it says why.
    """
    if robot.mirror is None:
        problem = (
            f"--mirror: {robot.path} has no `mirror`, the signs by which its joints turn in a "
            "mirror; an arm that is not built symmetrically has none: leave --mirror out"
        )
        raise ParameterError("train", [problem])
    crooked = [name for name in cameras if name not in robot.mirror.cameras]
    if crooked:
        problem = (
            f"--mirror: camera {', '.join(crooked)} is not in mirror.cameras of {robot.path}: its "
            "flipped picture is not what it would see of the mirrored scene"
        )
        raise ParameterError("train", [problem])
    return robot.mirror
