"""The action loss of each task, gathered over many small batches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vla_ros.learn.batches import Batch
from vla_ros.learn.objectives import Errors


class TaskErrors:
    """Means by task; a batch alone has too few rows of each.

    Args:
        tasks: Names, in the order of their indices.
    """

    def __init__(self, tasks: Sequence[str]) -> None:
        self._tasks = tuple(tasks)
        self._sum, self._steps = self._zeros(), self._zeros()

    def add(self, batch: Batch, errors: Errors) -> None:
        """Take in what a step found; a row counts by the steps that did in the loss."""
        steps = errors.steps_of_row  # with a simulated delay fewer than the batch's valid ones
        size = len(self._tasks)
        self._sum += np.bincount(batch.task, steps * errors.action_of_row, size)
        self._steps += np.bincount(batch.task, steps, size)

    def take(self) -> dict[str, float]:
        """Means since the last call; tasks of which there was no row are left out."""
        means = self._sum / np.maximum(self._steps, 1)
        found = zip(self._tasks, means.tolist(), self._steps.tolist(), strict=True)
        result = {name: round(value, 5) for name, value, steps in found if steps}
        self._sum, self._steps = self._zeros(), self._zeros()
        return result

    def _zeros(self) -> NDArray[np.float64]:
        return np.zeros(len(self._tasks))
