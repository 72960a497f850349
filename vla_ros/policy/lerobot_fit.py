"""Does a LeRobot policy fit the robot file? Neither torch nor lerobot here.

A LeRobot checkpoint names neither its joints nor their unit; the robot file's `lerobot` does. What
that says is held against the statistics that the checkpoint normalises with: they tell where the
joints were in its training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vla_ros.datatypes import FloatArray
from vla_ros.errors import CheckpointError
from vla_ros.policy.check import find_misfits
from vla_ros.policy.lerobot_units import LeRobotUnits
from vla_ros.policy.meaning import action_names, joint_spec
from vla_ros.policy_protocol import CameraSpec, PolicySpec
from vla_ros.robot_config import RobotConfig
from vla_ros.robot_lerobot import UNITS, LeRobotConfig

STATE, ACTION = "observation.state", "action"
_NEEDED = {
    "MEAN_STD": ("mean", "std"),
    "MIN_MAX": ("min", "max"),
    "QUANTILES": ("q01", "q99"),
    "QUANTILE10": ("q10", "q90"),
}
_LIMITS = (("min", "max"), ("q01", "q99"), ("q10", "q90"))
# People measure their arm's zero and ends themselves: some of a joint's range is no other unit.
_BEYOND = 0.15
# Three degrees. In a training in which no joint moved further, nothing was done.
_LEAST_SPAN_RAD = 0.05

Statistics = Mapping[str, FloatArray]


@dataclass(frozen=True, kw_only=True, eq=False)
class LeRobotFeatures:
    """What a LeRobot checkpoint says of itself.

    Attributes:
        images: Shape (3, H, W) of each picture, by its key.
        shapes: Shapes of all other inputs, and of `action`, by key.
        modes: How each of them is normalised, by key; empty when no step does it.
        statistics: With which numbers, by key and name; empty when there are none.
        horizon: Steps in a chunk.
    """

    images: Mapping[str, tuple[int, ...]]
    shapes: Mapping[str, tuple[int, ...]]
    modes: Mapping[str, str]
    statistics: Mapping[str, Statistics]
    horizon: int


def check_lerobot(features: LeRobotFeatures, robot: RobotConfig, folder: Path) -> PolicySpec:
    """What the policy needs and gives, in the robot file's names and units.

    Raises:
        CheckpointError: With everything in which the two do not fit.
    """
    if robot.lerobot is None:
        raise CheckpointError(
            f"robot file {robot.path} does not say what the numbers of a LeRobot policy are; add "
            f"lerobot: step_s, images (of {', '.join(features.images) or 'none'}), units "
            f"({', '.join(UNITS)}), and gripper when there is one"
        )
    spec = _spec(features, robot, robot.lerobot)
    problems = [
        *_image_problems(features, robot.lerobot),
        *_shape_problems(features, robot, robot.lerobot),
        *_normalization_problems(features),
        *find_misfits(joint_spec(spec, robot), robot),
    ]
    sound = [key for key in (STATE, ACTION) if not any(p.startswith(f"{key}:") for p in problems)]
    problems += _unit_problems(features, robot, robot.lerobot, sound)
    if problems:
        lines = "\n".join(f"  - {problem}" for problem in problems)
        raise CheckpointError(
            f"the LeRobot policy in {folder} does not fit robot file {robot.path}: "
            f"{len(problems)} problem(s)\n{lines}"
        )
    return spec


def _spec(features: LeRobotFeatures, robot: RobotConfig, said: LeRobotConfig) -> PolicySpec:
    # A picture that does not fit is a problem of its own, told beside the others.
    sizes = {name: features.images.get(key, (3, 1, 1)) for name, key in said.images.items()}
    return PolicySpec(
        robot=robot.robot,
        cameras=tuple(
            CameraSpec(name=name, height_px=size[-2], width_px=size[-1], resize=said.resize)
            for name, size in sizes.items()
        ),
        state_names=robot.action_names,
        action_names=action_names(robot),
        horizon=features.horizon,
        step_s=said.step_s,
        action_meaning=robot.arm_sink.meaning,
    )


def _image_problems(features: LeRobotFeatures, said: LeRobotConfig) -> list[str]:
    valid = ", ".join(features.images) or "none"
    problems = [
        f"images: the robot file's lerobot.images.{name} is {key!r}; the policy has: {valid}"
        for name, key in said.images.items()
        if key not in features.images
    ]
    problems += [
        f"images: the policy needs {key!r}, which no camera of lerobot.images gives"
        for key in features.images
        if key not in said.images.values()
    ]
    return problems + [
        f"images: {key!r} has shape {shape}; valid: (3, height, width)"
        for key, shape in features.images.items()
        if len(shape) != 3 or shape[0] != 3
    ]


def _shape_problems(
    features: LeRobotFeatures, robot: RobotConfig, said: LeRobotConfig
) -> list[str]:
    actions = said.actions or action_names(robot)
    wanted = {STATE: said.state, ACTION: actions}
    names = {STATE: "lerobot.state", ACTION: "lerobot.actions"}
    problems = [
        f"{key}: has shape {features.shapes[key]}; the robot file has {len(entries)} entries: "
        f"{', '.join(entries)} ({names[key]})"
        for key, entries in wanted.items()
        if key in features.shapes and features.shapes[key] != (len(entries),)
    ]
    if ACTION not in features.shapes:
        problems.append(f"{ACTION}: the policy gives none")
    return problems + [
        f"{key}: the policy needs it (shape {shape}), and the robot file knows no such input"
        for key, shape in features.shapes.items()
        if key not in wanted
    ]


def _normalization_problems(features: LeRobotFeatures) -> list[str]:
    """LeRobot passes on numbers for which it has no statistics; the arm would go anywhere."""
    problems = []
    for key, shape in {**features.images, **features.shapes}.items():
        mode = features.modes.get(key, "")
        is_number = key in (STATE, ACTION)
        found = features.statistics.get(key, {})
        missing = [name for name in _NEEDED.get(mode, ()) if name not in found]
        if is_number and mode not in _NEEDED:
            problems.append(
                f"{key}: is not normalised ({mode or 'no step of the checkpoint does it'}); valid: "
                f"{', '.join(_NEEDED)}: without it the numbers have no unit; train with it"
            )
        elif missing:
            problems.append(
                f"{key}: has no normalisation statistics {', '.join(missing)} for {mode}; save "
                "the policy's processors with the statistics of its dataset"
            )
        elif is_number:
            problems += _number_problems(key, shape, {n: found[n] for n in _NEEDED[mode]})
    return problems


def _number_problems(key: str, shape: tuple[int, ...], found: Statistics) -> list[str]:
    return [
        f"{key}: its normalisation statistic {name} has shape {values.shape}, or is not finite; "
        f"valid: finite numbers of shape {shape}"
        for name, values in found.items()
        if values.shape != shape or not np.isfinite(values).all()
    ]


def _unit_problems(
    features: LeRobotFeatures, robot: RobotConfig, said: LeRobotConfig, sound: Sequence[str]
) -> list[str]:
    """Joints that were, in the policy's training, where this robot cannot be."""
    units = LeRobotUnits(robot, said)
    readings = {STATE: units.joints_from_state}
    if robot.arm_sink.meaning == "absolute_joint_position":
        readings[ACTION] = units.joints_from_actions
    return [
        text
        for key, joints in readings.items()
        if key in sound and key in features.shapes
        for text in _range_problems(key, *_range(features.statistics[key], joints), robot, said)
    ]


def _range(
    statistics: Statistics, joints: Callable[[FloatArray], FloatArray]
) -> tuple[FloatArray, FloatArray]:
    """Least and greatest position of each joint [rad], as far as the statistics tell."""
    for low, high in _LIMITS:
        if low in statistics and high in statistics:
            return joints(statistics[low]), joints(statistics[high])
    mean, std = statistics["mean"], statistics["std"]
    return joints(mean - std), joints(mean + std)


def _range_problems(
    key: str, low: FloatArray, high: FloatArray, robot: RobotConfig, said: LeRobotConfig
) -> list[str]:
    lower, upper = robot.limits.lower_rad, robot.limits.upper_rad
    beyond = _BEYOND * (upper - lower)
    if (high - low).max() < _LEAST_SPAN_RAD:
        return [
            f"{key}: no joint moved more than {(high - low).max():.2g} rad in the policy's "
            f"training; is its unit {said.units} (lerobot.units; valid: {', '.join(UNITS)})?"
        ]
    elsewhere = [
        f"{name} between {low[i]:.3g} and {high[i]:.3g} (limits {lower[i]:.3g} to {upper[i]:.3g})"
        for i, name in enumerate(robot.joints)
        if low[i] < lower[i] - beyond[i] or high[i] > upper[i] + beyond[i]
    ]
    if not elsewhere:
        return []
    return [
        f"{key}: in the policy's training were [rad] {', '.join(elsewhere)}; is its unit "
        f"{said.units} (lerobot.units; valid: {', '.join(UNITS)}), and the order right "
        "(lerobot.state, lerobot.actions)?"
    ]
