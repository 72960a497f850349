"""Message types that not every ROS install has, imported where they are needed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from vla_ros.errors import NodeError


def load_type(name: str) -> Any:
    """The class of an interface, such as `control_msgs/action/GripperCommand`.

    Raises:
        NodeError: Its package is not installed, or has no such interface; says what to install.
    """
    package, kind, type_name = name.split("/")
    apt = f"apt install ros-$ROS_DISTRO-{package.replace('_', '-')}"
    try:
        return getattr(import_module(f"{package}.{kind}"), type_name)
    except ModuleNotFoundError as error:
        raise NodeError(
            f"{name} is needed by the robot file's actions, but the ROS package {package} is not "
            f"installed (pip has none): {apt}"
        ) from error
    except AttributeError as error:
        raise NodeError(f"this {package} has no {name}; it is too old: {apt}") from error
