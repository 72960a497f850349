"""How far off the averaged weights are on episodes that were held out."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from vla_ros.learn.batches import IntArray, Rows, balanced
from vla_ros.learn.learner import Learner
from vla_ros.policy.normalizer import Normalizer

_ROWS, _BATCH = 512, 128


class _Judged(NamedTuple):
    """`action` and `target_m` of `Errors`, over rows of any number."""

    action: float
    target_m: float


def validate(
    learner: Learner,
    rows: Rows,
    held_out: IntArray,
    normalizer: Normalizer,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Errors on `held_out` rows, all tasks alike; empty when there are none."""
    if not len(held_out):
        return {}
    drawn = balanced(held_out, rows.group[held_out], _ROWS, rng)
    drawn = drawn[np.argsort(rows.task[drawn], kind="stable")]

    def judge(chosen: IntArray) -> _Judged | None:
        return _judge(learner, rows, chosen, normalizer)

    by_task = {name: judge(drawn[rows.task[drawn] == i]) for i, name in enumerate(rows.tasks)}
    known = {name: errors for name, errors in by_task.items() if errors}
    afar = judge(drawn[rows.afar[drawn]])
    return {
        "validation_action": mean([errors.action for errors in known.values()]),
        "validation_action_by_task": {name: round(e.action, 5) for name, e in known.items()},
        "validation_target_cm": cm(mean([errors.target_m for errors in known.values()])),
        "validation_target_cm_afar": cm(afar.target_m) if afar else None,
        "validation_target_cm_by_task": {name: cm(e.target_m) for name, e in known.items()},
    }


def mean(values: list[float]) -> float:
    """Mean of the finite ones; NaN when there is none."""
    known = [value for value in values if math.isfinite(value)]
    return sum(known) / len(known) if known else math.nan


def cm(distance_m: float) -> float | None:
    """Centimetres with a tenth of a millimetre; `None` where there is no number, as JSON has it."""
    return round(100 * distance_m, 2) if math.isfinite(distance_m) else None


def _judge(
    learner: Learner, rows: Rows, chosen: IntArray, normalizer: Normalizer
) -> _Judged | None:
    """Errors on `chosen`, in parts that fit into memory; `None` when there are no rows."""
    if not len(chosen):
        return None
    starts = range(0, len(chosen), _BATCH)
    batches = [rows.batch(chosen[i : i + _BATCH], normalizer) for i in starts]
    parts = [learner.judge(batch) for batch in batches]
    # The last part may have few rows: each counts by what it is the mean of.
    steps = [int(part.steps_of_row.sum()) for part in parts]
    known = [int(np.isfinite(batch.target_m).all(axis=1).sum()) for batch in batches]
    return _Judged(
        action=_weighted([part.action for part in parts], steps),
        target_m=_weighted([part.target_m for part in parts], known),
    )


def _weighted(means: list[float], counts: list[int]) -> float:
    """The mean of all that `means` are means of; NaN when there is nothing."""
    total = sum(mean * count for mean, count in zip(means, counts, strict=True) if count)
    return total / sum(counts) if sum(counts) else math.nan
