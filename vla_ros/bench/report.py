"""What every measurement does with its numbers: a file of JSON, a picture of bars."""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vla_ros.errors import ParameterError
from vla_ros.output_paths import output_file, output_png, write_text

Bars = Mapping[str, Mapping[str, float]]
"""Title of a panel with its unit → label of a bar → its height."""
Lines = Mapping[str, Mapping[str, Mapping[float, float]]]
"""Title of a panel with its unit → label of a line → x → y."""


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare `--json` and `--plot`."""
    parser.add_argument("--json", type=output_file, help="write the numbers to this file")
    parser.add_argument("--plot", type=output_png, help="draw the numbers into this PNG")


def machine() -> dict[str, Any]:
    """What the numbers were taken on."""
    return {
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }


def write_report(
    arguments: argparse.Namespace,
    report: Mapping[str, Any],
    bars: Bars,
    lines: Lines | None = None,
) -> None:
    """Write `report`, and draw `bars` or `lines`, where the arguments say so.

    Raises:
        ParameterError: A file cannot be written.
    """
    try:
        if arguments.json is not None:
            write_text(arguments.json, json.dumps(report, indent=2) + "\n")
        if arguments.plot is not None:
            _draw(arguments.plot, bars, lines or {})
    except OSError as error:
        problem = f"--json, --plot: {error.filename} cannot be written: {error.strerror}"
        raise ParameterError("bench", [problem]) from error


def print_table(head: str, rows: Mapping[str, str]) -> None:
    """A line each, the names in one column."""
    width = max(map(len, rows))
    print(head)
    for name, text in rows.items():
        print(f"  {name:<{width}}  {text}")


def _draw(path: Path, bars: Bars, lines: Lines) -> None:
    # Here, not above: most runs draw nothing.
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    panels = len(bars) + len(lines)
    figure, axes = plt.subplots(1, panels, figsize=(4 * panels, 3.5), squeeze=False)
    for axis, (title, curves) in zip(axes[0][len(bars) :], lines.items(), strict=True):
        for label, points in curves.items():
            axis.plot(list(points), list(points.values()), marker="o", label=label)
        axis.set_title(title)
        axis.legend()
    for axis, (title, heights) in zip(axes[0][: len(bars)], bars.items(), strict=True):
        drawn = axis.bar(list(heights), list(heights.values()))
        axis.bar_label(drawn, fmt="%.3g")
        axis.set_title(title)
        axis.tick_params(axis="x", rotation=30)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)
