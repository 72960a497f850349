"""Find everything that is wrong with a robot file, before anything is built from it."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import jsonschema

from vla_ros.errors import UrdfError
from vla_ros.kinematics import KinematicChain
from vla_ros.robot_lerobot import find_lerobot_problems
from vla_ros.robot_mirror import find_mirror_pose_problems, find_mirror_problems
from vla_ros.robot_outputs import find_output_problems
from vla_ros.robot_safety import find_safety_problems
from vla_ros.robot_server import find_server_problems
from vla_ros.urdf import UrdfJoint, chain_to, expand, read_joints

_SCHEMA = json.loads((Path(__file__).parent / "robot_schema.json").read_text())
# Seconds, in rising order.
CHUNK_DEFAULTS = {"blend_s": 0.1, "execute_s": 0.3, "expire_after_s": 0.8}
_NUMBERS = jsonschema.Draft202012Validator.TYPE_CHECKER


def _is_number(checker: object, value: object) -> bool:
    # NaN is neither below a minimum nor above a maximum, and YAML can say `.nan` and `.inf`.
    return _NUMBERS.is_type(value, "number") and abs(cast(float, value)) <= sys.float_info.max


_Validator = jsonschema.validators.extend(  # type: ignore[no-untyped-call]
    jsonschema.Draft202012Validator, type_checker=_NUMBERS.redefine("number", _is_number)
)


def find_problems(data: Any, folder: Path) -> list[str]:
    """All problems of a robot file, a sentence each.

    Args:
        data: The parsed YAML.
        folder: Where the file lies; its `urdf` is relative to it.
    """
    errors = sorted(
        _Validator(_SCHEMA).iter_errors(data), key=lambda error: list(map(str, error.path))
    )
    problems = [_sentence(error) for error in errors]
    if not isinstance(data, dict):
        return problems
    # A part that breaks the schema is not looked at again; the others still are.
    broken = {str(error.path[0]) for error in errors if error.path}
    sound = {key: value for key, value in data.items() if key not in broken}
    return problems + _pair_problems(data) + _deeper_problems(sound, folder)


def _sentence(error: jsonschema.ValidationError) -> str:
    where = ".".join(map(str, error.path)) or "top level"
    schema = cast(Mapping[str, Any], error.schema)
    if error.validator == "additionalProperties":
        valid = ", ".join(schema.get("properties", {}))
        return f"{where}: {error.message}; valid keys: {valid}"
    if error.validator == "oneOf":
        return (
            f"{where}: got {error.instance!r}; valid: above 0 and at most "
            f"{schema['oneOf'][0]['maximum']} (radians, not degrees), or a list, one a joint"
        )
    unit = f" ({schema['description']})" if "description" in schema else ""
    if error.validator_value == "number" and isinstance(error.instance, float):
        return f"{where}: got {error.instance}; valid: a finite number{unit}"
    return f"{where}: {error.message}{unit}"


def _pair_problems(data: Mapping[str, Any]) -> list[str]:
    actions = data.get("actions")
    if isinstance(actions, dict) and ("gripper" in data) != ("gripper" in actions):
        return ["gripper, actions.gripper: both or neither must be given"]
    return []


def _deeper_problems(data: Mapping[str, Any], folder: Path) -> list[str]:
    """What the schema cannot see: names against the URDF, and values against each other."""
    problems = _length_problems(data) + _camera_problems(data) + _chunk_problems(data)
    problems += find_output_problems(data) + find_safety_problems(data)
    problems += find_server_problems(data) + find_mirror_problems(data)
    problems += find_lerobot_problems(data)
    if "urdf" not in data:
        return problems
    try:
        urdf = read_joints(expand(folder / data["urdf"]))
    except UrdfError as error:
        return [*problems, f"urdf: {error}"]
    names = data.get("joints", [])
    limits = data.get("limits", {})
    wrong = [
        text for i, name in enumerate(names) for text in _joint_problems(i, name, urdf, limits)
    ]
    problems += wrong
    if "gripper" in data:
        problems += _gripper_problems(data["gripper"], urdf, names)
    if names and not wrong and "tip_link" in data:
        problems += _chain_problems(data, urdf)
    return problems


def _length_problems(data: Mapping[str, Any]) -> list[str]:
    if "joints" not in data or "limits" not in data:
        return []
    joints, limits = len(data["joints"]), data["limits"]
    return [
        f"limits.{key}: has {len(limits[key])} values for {joints} joints"
        for key in ("lower_rad", "upper_rad", "acceleration_rad_s2", "jerk_rad_s3")
        if isinstance(limits.get(key), list) and len(limits[key]) != joints
    ]


def _camera_problems(data: Mapping[str, Any]) -> list[str]:
    return [
        f"cameras.{name}: rectify and camera_info (the topic of the calibration) go together; got "
        f"rectify {camera.get('rectify', False)}, camera_info {camera.get('camera_info')}"
        for name, camera in data.get("cameras", {}).items()
        if camera.get("rectify", False) != ("camera_info" in camera)
    ]


def _chunk_problems(data: Mapping[str, Any]) -> list[str]:
    if "chunks" not in data:
        return []
    chunks = CHUNK_DEFAULTS | data["chunks"]
    blend_s, execute_s, expire_s = (chunks[key] for key in CHUNK_DEFAULTS)
    if blend_s <= execute_s < expire_s:
        return []
    return [
        f"chunks: blend_s is {blend_s}, execute_s {execute_s}, expire_after_s {expire_s}; "
        "valid: blend_s at most execute_s, and execute_s below expire_after_s"
    ]


def _chain_problems(data: Mapping[str, Any], urdf: Mapping[str, UrdfJoint]) -> list[str]:
    try:
        chain = KinematicChain.from_joints(chain_to(dict(urdf), data["tip_link"]), data["joints"])
    except UrdfError as error:
        return [f"joints, tip_link: {error}"]
    return find_mirror_pose_problems(data, chain)


def _joint_problems(
    index: int, name: str, urdf: Mapping[str, UrdfJoint], limits: Mapping[str, Any]
) -> list[str]:
    where = f"joints.{index}"
    joint = urdf.get(name)
    if joint is None:
        moving = ", ".join(j.name for j in urdf.values() if j.kind != "fixed")
        return [f"{where}: joint {name!r} is not in the URDF; it has: {moving}"]
    narrowed = {
        key: limits[key][index]
        for key in ("lower_rad", "upper_rad")
        if index < len(limits.get(key, []))
    }
    given = {key: getattr(joint, key) for key in ("lower_rad", "upper_rad", "velocity_rad_s")}
    effective = given | narrowed
    missing = [key.partition("_")[0] for key, value in effective.items() if value is None]
    if missing:
        return [
            f"{where}: the URDF gives joint {name!r} no limit {', '.join(missing)}"
            + ("" if missing == ["velocity"] else "; give limits.lower_rad and limits.upper_rad")
        ]
    lower, upper, velocity = effective.values()
    is_finite = all(math.isfinite(value) for value in given.values() if value is not None)
    if not is_finite or lower >= upper or velocity <= 0:
        return [
            f"{where}: the limits of {name!r} are empty or not finite: "
            f"lower {lower}, upper {upper}, velocity {velocity}"
        ]
    return _wider_problems(name, joint, narrowed)


def _wider_problems(name: str, joint: UrdfJoint, narrowed: Mapping[str, float]) -> list[str]:
    """The robot file may narrow the URDF's position limits, never widen them."""
    problems = []
    for key, sign in (("lower_rad", 1), ("upper_rad", -1)):
        bound = getattr(joint, key)
        if key in narrowed and bound is not None and sign * narrowed[key] < sign * bound:
            problems.append(
                f"limits.{key}: {narrowed[key]} is wider than the URDF's {bound} of {name!r} "
                "(radians, not degrees)"
            )
    return problems


def _gripper_problems(
    gripper: dict[str, Any], urdf: Mapping[str, UrdfJoint], arm: Sequence[str]
) -> list[str]:
    problems = []
    joint = urdf.get(gripper["joint"])
    if joint is None:
        problems.append(f"gripper.joint: {gripper['joint']!r} is not in the URDF")
    if gripper["joint"] in arm:
        problems.append(f"gripper.joint: {gripper['joint']!r} is one of the arm's joints, too")
    if gripper["closed_m"] == gripper["open_m"]:
        problems.append(f"gripper: closed_m and open_m are both {gripper['open_m']}")
    if joint is not None and joint.lower_rad is not None and joint.upper_rad is not None:
        for key in ("closed_m", "open_m"):
            if not joint.lower_rad <= gripper[key] <= joint.upper_rad:
                problems.append(
                    f"gripper.{key}: {gripper[key]} is outside the URDF's limits "
                    f"{joint.lower_rad} … {joint.upper_rad} m of {joint.name!r} (metres, not mm)"
                )
    fastest = None if joint is None else joint.velocity_rad_s
    if fastest and gripper.get("velocity_m_s", 0.0) > fastest:
        problems.append(
            f"gripper.velocity_m_s: {gripper['velocity_m_s']} is above the URDF's {fastest} of "
            f"{gripper['joint']!r}"
        )
    return problems
