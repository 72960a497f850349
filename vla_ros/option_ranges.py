"""Numbers on a command line that are out of range, all of them in one answer."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping

FROM_0: tuple[float, float] = (0, math.inf)
FROM_1: tuple[float, float] = (1, math.inf)


def out_of_range(
    arguments: argparse.Namespace, ranges: Mapping[str, tuple[float, float]]
) -> list[str]:
    """What is wrong with the options; nothing with those that were left out.

    Args:
        arguments: What was given.
        ranges: Least and greatest value by the option's name in `arguments`.
    """
    given = {name: getattr(arguments, name) for name in ranges}
    return [
        f"--{name.replace('_', '-')}: got {value:g}; valid: {_valid(*ranges[name])}"
        for name, value in given.items()
        if value is not None and not ranges[name][0] <= value <= ranges[name][1]
    ]


def _valid(least: float, greatest: float) -> str:
    return f"from {least:g}" if math.isinf(greatest) else f"{least:g} to {greatest:g}"
