"""Read a URDF (or xacro): joint limits, and the kinematic chain of an arm."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree
from xml.parsers.expat import ExpatError

import numpy as np

from vla_ros.datatypes import FloatArray
from vla_ros.errors import UrdfError


@dataclass(frozen=True, kw_only=True)
class UrdfJoint:
    """One joint of a URDF; limits are `None` where the URDF gives none."""

    name: str
    kind: str
    parent: str
    child: str
    origin_xyz_m: tuple[float, ...]
    origin_rpy_rad: tuple[float, ...]
    axis: tuple[float, ...]
    lower_rad: float | None
    upper_rad: float | None
    velocity_rad_s: float | None


def expand(path: Path) -> str:
    """Return the URDF text of `path`, expanding it when it is a xacro file.

    Raises:
        UrdfError: The file is missing, or xacro refuses it.
    """
    if not path.is_file():
        raise UrdfError(f"URDF {path} does not exist")
    if path.suffix != ".xacro":
        return _read_text(path)
    try:
        import xacro
    except ImportError as error:
        raise UrdfError(
            f"{path} needs xacro: pip install xacro, or apt install ros-$ROS_DISTRO-xacro"
        ) from error
    try:
        return str(xacro.process_file(str(path)).toxml())
    except (xacro.XacroException, ExpatError, SyntaxError, ValueError, OSError) as error:
        raise UrdfError(f"xacro refuses {path}: {error}") from error


def read_joints(text: str) -> dict[str, UrdfJoint]:
    """Return all joints of a URDF by name.

    Raises:
        UrdfError: The text is no URDF, or a number in it is none.
    """
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise UrdfError(f"the URDF is no valid XML: {error}") from error
    return {joint.name: joint for joint in map(_read_joint, root.findall("joint"))}


def chain_to(joints: dict[str, UrdfJoint], tip_link: str) -> list[UrdfJoint]:
    """Return the joints from the root to `tip_link`, in order.

    Raises:
        UrdfError: No joint leads to `tip_link`, or the links on the way form a circle.
    """
    by_child = {joint.child: joint for joint in joints.values()}
    if tip_link not in by_child:
        links = ", ".join(sorted(by_child))
        raise UrdfError(f"link {tip_link!r} is not in the URDF; it has: {links}")
    chain: list[UrdfJoint] = []
    link = tip_link
    while link in by_child:
        if len(chain) == len(by_child):
            raise UrdfError(f"the links of the URDF form a circle through {link!r}")
        chain.append(by_child[link])
        link = by_child[link].parent
    return chain[::-1]


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UrdfError(f"URDF {path} cannot be read: {error}") from error


def _read_joint(element: ElementTree.Element) -> UrdfJoint:
    name = element.get("name", "")
    return UrdfJoint(
        name=name,
        kind=element.get("type", ""),
        parent=_link(element, "parent"),
        child=_link(element, "child"),
        origin_xyz_m=_vector(element, "origin", "xyz", (0.0, 0.0, 0.0)),
        origin_rpy_rad=_vector(element, "origin", "rpy", (0.0, 0.0, 0.0)),
        axis=_vector(element, "axis", "xyz", (1.0, 0.0, 0.0)),
        lower_rad=_number(element, "lower"),
        upper_rad=_number(element, "upper"),
        velocity_rad_s=_number(element, "velocity"),
    )


def _link(element: ElementTree.Element, tag: str) -> str:
    child = element.find(tag)
    return "" if child is None else child.get("link", "")


def _number(joint: ElementTree.Element, key: str) -> float | None:
    # A limit may be infinite here: it is refused only where the robot file names the joint.
    numbers = _numbers(joint, "limit", key, 1)
    return None if numbers is None else numbers[0]


def _vector(
    joint: ElementTree.Element, tag: str, key: str, default: tuple[float, ...]
) -> tuple[float, ...]:
    numbers = _numbers(joint, tag, key, 3)
    if numbers is not None and not all(map(math.isfinite, numbers)):
        raise UrdfError(f"joint {joint.get('name')!r}, {tag} {key}: {numbers} is not finite")
    return default if numbers is None else numbers


def _numbers(
    joint: ElementTree.Element, tag: str, key: str, count: int
) -> tuple[float, ...] | None:
    """The numbers of an attribute; `None` where it is not given."""
    element = joint.find(tag)
    text = None if element is None else element.get(key)
    if text is None:
        return None
    try:
        numbers = tuple(float(word) for word in text.split())
    except ValueError:
        numbers = ()
    if len(numbers) != count:
        raise UrdfError(
            f"joint {joint.get('name')!r}, {tag} {key}: got {text!r}; "
            f"valid: {count} number{'s' if count > 1 else ''}"
        )
    return numbers


def rotation_from_rpy(rpy_rad: tuple[float, ...]) -> FloatArray:
    """Rotation matrix (3, 3) of fixed-axis roll, pitch, yaw, as URDF defines them."""
    (cr, cp, cy), (sr, sp, sy) = np.cos(rpy_rad), np.sin(rpy_rad)
    roll = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    pitch = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
    yaw = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
    return np.asarray(yaw @ pitch @ roll, np.float64)
