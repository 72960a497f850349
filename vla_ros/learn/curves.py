"""The record of a training: one JSON line a time, and a picture of it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PANELS = {
    "action error (normalised)": {
        "action": "training",
        "validation_action": "validation, averaged weights",
    },
    "position of the named object, error [cm]": {
        "target_cm": "training",
        "validation_target_cm": "validation, averaged weights",
    },
}
_BY_TASK = {"action_by_task": ":", "validation_action_by_task": "-"}


def append_metrics(path: Path, values: Mapping[str, Any]) -> None:
    """Add one line to the JSON-lines file `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 1))
        begins = file.read() in ("", "\n")  # else a killed training has left half a line
        file.write(("" if begins else "\n") + json.dumps(values) + "\n")


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All lines of `path`; those that a resumed training did again count once, as done last.

    Half a line, as a killed training leaves it, counts as none.
    """
    if not path.is_file():
        return []
    lines = [line for text in path.read_text().splitlines() for line in _parsed(text)]
    by_samples = {line["samples"]: line for line in lines}
    return [by_samples[samples] for samples in sorted(by_samples)]


def _parsed(text: str) -> list[dict[str, Any]]:
    try:
        return [json.loads(text)]
    except ValueError:
        return []


def flatten(values: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a line of metrics by name, `action_by_task/pick_object` for nested ones."""
    flat: dict[str, float] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= {f"{key}/{name}": number for name, number in flatten(value).items()}
        elif value is not None:
            flat[key] = value
    return flat


def plot_metrics(path: Path, picture: Path) -> None:
    """Draw what `append_metrics` wrote to `path` into the PNG file `picture`."""
    from matplotlib.figure import Figure

    lines = [flatten(line) for line in read_metrics(path)]
    figure = Figure(figsize=(7, 9), layout="constrained")
    *panels, last = figure.subplots(len(_PANELS) + 1, 1)
    for axes, (title, curves) in zip(panels, _PANELS.items(), strict=True):
        for key, label in curves.items():
            _draw(axes, lines, key, label=label)
        _finish(axes, title)
    _draw_tasks(last, lines)
    _finish(last, "action error by task (dotted: training)")
    figure.savefig(picture, dpi=110)


def _draw_tasks(axes: Axes, lines: Iterable[Mapping[str, float]]) -> None:
    """A colour for each task, the same in training and validation."""
    keys = {key for line in lines for key in line if key.partition("/")[0] in _BY_TASK}
    for number, task in enumerate(sorted({key.partition("/")[2] for key in keys})):
        for group, style in _BY_TASK.items():
            label = task if group == list(_BY_TASK)[-1] else None
            _draw(axes, lines, f"{group}/{task}", label=label, linestyle=style, color=f"C{number}")


def _draw(axes: Axes, lines: Iterable[Mapping[str, float]], key: str, **style: Any) -> None:
    points = [(line["samples"], line[key]) for line in lines if key in line]
    if points:
        axes.plot(*zip(*points, strict=True), **style)


def _finish(axes: Axes, title: str) -> None:
    axes.set(title=title, xlabel="samples")
    axes.grid(alpha=0.3)
    if axes.lines:
        axes.set_yscale("log")
        axes.legend()
