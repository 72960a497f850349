"""Plans as RViz shows them: the arm, a transparent one at the plan's end, and the tip's path.

From what `vla_node` publishes in `~/plan/markers` and `~/plan/joint_states`; needs no screen.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np

from vla_ros.drawing import label
from vla_ros.ros.take import PlanShot, Take
from vla_ros.sim.ghost_painter import GhostPainter


def write_plans(path: Path, takes: Sequence[Take]) -> None:
    """Write a PNG with the longest plan of each take."""
    shown = [(take.instruction, max(take.plans, key=_length_m)) for take in takes if take.plans]
    if not shown:
        return
    with closing(GhostPainter()) as painter:
        pictures = [
            label(painter.draw(plan.start, plan.end, plan.path_m), words) for words, plan in shown
        ]
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.cvtColor(np.hstack(pictures), cv2.COLOR_RGB2BGR))


def _length_m(plan: PlanShot) -> float:
    return float(np.linalg.norm(np.diff(plan.path_m, axis=0), axis=1).sum())
