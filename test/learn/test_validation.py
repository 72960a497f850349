"""What a validation reports: means over rows, however they were cut into parts."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest

from vla_ros.learn.batches import IntArray
from vla_ros.learn.objectives import Errors
from vla_ros.learn.validation import validate

ROWS, STEPS = 400, 4
RNG = np.random.default_rng(0)
ERROR = RNG.random(ROWS).astype(np.float32)
COUNTED = RNG.integers(1, STEPS + 1, ROWS)
OFF_M = np.where(RNG.random(ROWS) < 0.5, ERROR, np.nan)


class RowsOfOneTask:
    tasks = ("pick_object",)
    task = np.zeros(ROWS, np.int64)
    group, afar = task, np.ones(ROWS, bool)

    def batch(self, rows: IntArray, normalizer: object) -> SimpleNamespace:
        return SimpleNamespace(rows=rows, target_m=np.repeat(OFF_M[rows, None], 3, axis=1))


@dataclass
class LearnerThatIsOff:
    """By `ERROR` in each of the `COUNTED` steps of a row, and by `OFF_M`."""

    judged: list[IntArray] = field(default_factory=list)

    def judge(self, batch: SimpleNamespace) -> Errors:
        self.judged.append(batch.rows)
        error, steps = ERROR[batch.rows], COUNTED[batch.rows]
        return Errors(
            loss=0.0,
            action=float(np.average(error, weights=steps)),
            target_m=float(np.nanmean(OFF_M[batch.rows])),
            action_of_row=error,
            steps_of_row=steps,
        )


@pytest.mark.parametrize("cut", [128, 500])
def test_a_part_with_few_rows_counts_by_its_rows(cut: int, monkeypatch) -> None:
    monkeypatch.setattr("vla_ros.learn.validation._BATCH", cut)
    learner = LearnerThatIsOff()
    held_out = np.arange(ROWS)
    found = validate(learner, RowsOfOneTask(), held_out, None, np.random.default_rng(1))  # type: ignore[arg-type]
    drawn = np.concatenate(learner.judged)[:512]
    assert len(learner.judged[0]) == cut
    wanted = np.average(ERROR[drawn], weights=COUNTED[drawn])
    assert found["validation_action"] == pytest.approx(wanted, abs=1e-6)
    wanted_cm = 100 * np.nanmean(OFF_M[drawn])
    assert found["validation_target_cm"] == pytest.approx(wanted_cm, abs=0.006)
