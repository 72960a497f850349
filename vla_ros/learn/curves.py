"""The record of a training: one JSON line a time, and a picture of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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


def append_metrics(path: Path, values: Mapping[str, Any]) -> None:
    """Add one line to the JSON-lines file `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(values) + "\n")


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All lines of `path`; those that a resumed training did again count once, as done last."""
    if not path.is_file():
        return []
    lines = [json.loads(line) for line in path.read_text().splitlines() if line]
    by_samples = {line["samples"]: line for line in lines}
    return [by_samples[samples] for samples in sorted(by_samples)]


def plot_metrics(path: Path, picture: Path) -> None:
    """Draw what `append_metrics` wrote to `path` into the PNG file `picture`."""
    from matplotlib.figure import Figure

    lines = read_metrics(path)
    figure = Figure(figsize=(7, 6), layout="constrained")
    for axes, (title, curves) in zip(figure.subplots(2, 1), _PANELS.items(), strict=True):
        for key, label in curves.items():
            points = [(line["samples"], line[key]) for line in lines if line.get(key) is not None]
            if points:
                axes.plot(*zip(*points, strict=True), label=label)
        axes.set(title=title, xlabel="samples")
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.set_yscale("log")
            axes.legend()
    figure.savefig(picture, dpi=110)
