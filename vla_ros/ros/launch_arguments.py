"""Refuses arguments that a launch file does not have; the launch system passes over them.

`ros2 launch vla_ros vla.launch.py robot:=my_arm.yaml` would else start the default arm.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vla_ros.errors import ParameterError


def refuse_unknown(description: Any, file: str, argv: Sequence[str] | None = None) -> None:
    """Return when every `name:=value` of the command line is an argument of the launch file.

    Args:
        description: The file's `launch.LaunchDescription`, with what it includes.
        file: Path of the launch file. Where another file includes it, that one's arguments count.
        argv: Words of the command line; `None` is this process's.

    Raises:
        ParameterError: With the unknown names and the valid ones.
    """
    words = list(sys.argv if argv is None else argv)
    name = Path(file).name
    if name not in [Path(word).name for word in words]:
        return
    valid = [argument.name for argument in description.get_launch_arguments()]
    given = [word.partition(":=")[0] for word in words if ":=" in word]
    unknown = [word for word in given if word not in valid]
    if unknown:
        problems = [f"{word}: is unknown; valid: {', '.join(valid)}" for word in unknown]
        raise ParameterError(f"arguments of {name}", problems)
