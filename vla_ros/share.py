"""Find the files that ship beside the code: description, config, checkpoints."""

from __future__ import annotations

import sys
from pathlib import Path

from vla_ros.errors import VlaError


def share_path(relative: str) -> Path:
    """Path of a shipped file, in a source tree, a ROS install or a Python prefix.

    Raises:
        VlaError: The file is in none of them.
    """
    package = Path(__file__).resolve()
    roots = [package.parents[1]]
    # <prefix>/lib/python3.x/site-packages/vla_ros/share.py → <prefix>/share/vla_ros
    roots += [parent / "share" / "vla_ros" for parent in package.parents]
    roots.append(Path(sys.prefix) / "share" / "vla_ros")
    for root in roots:
        if (root / relative).exists():
            return root / relative
    raise VlaError(f"{relative} is not installed; looked in: {', '.join(map(str, roots))}")
