"""Two processes over gloo train as one would with a batch twice as large."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from vla_ros.errors import ParameterError
from vla_ros.learn.curves import read_metrics
from vla_ros.learn.pace import Pace
from vla_ros.policy.checkpoint import read_checkpoint

sys.path.insert(0, str(Path(__file__).parent))
from two_processes import BATCH, ROWS, begin, gradients


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that two processes have trained into."""
    folder = tmp_path_factory.mktemp("team")
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    script = Path(__file__).with_name("two_processes.py")
    done = subprocess.run([*run, script, folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def results(out: Path) -> list[dict]:
    return [torch.load(out / f"result-{rank}.pt", weights_only=True) for rank in range(2)]


def largest_gap(one: dict, other: dict) -> float:
    assert one.keys() == other.keys()
    size = max(value.abs().max() for value in other.values())
    return float(max((one[name] - other[name]).abs().max() for name in one) / size)


def test_two_processes_get_the_gradient_of_the_doubled_batch(
    results: list[dict], tmp_path: Path
) -> None:
    alone = gradients(tmp_path, slice(None))
    for result in results:
        assert largest_gap(result["gradients"], alone) < 1e-4
    # The plain mean of the halves is another: they have unlike numbers of rows that count.
    half = len(ROWS) // 2
    parts = [gradients(tmp_path, part) for part in (slice(half), slice(half, None))]
    plain = {name: (parts[0][name] + parts[1][name]) / 2 for name in alone}
    assert largest_gap(plain, alone) > 1e-2


def test_both_end_with_the_same_weights_and_one_of_them_writes(
    out: Path, results: list[dict]
) -> None:
    assert largest_gap(results[0]["weights"], results[1]["weights"]) == 0
    story = read_checkpoint(out).training
    facts = {"samples_seen": 64, "processes": 2, "finished": True, "batch": BATCH}
    assert {key: story[key] for key in facts} == facts
    assert read_metrics(out / "metrics.jsonl")[-1]["samples"] == 64


def test_they_share_the_rows_that_one_would_draw(results: list[dict], tmp_path: Path) -> None:
    drawn = np.concatenate([result["drawn"].numpy() for result in results])
    _, _, alone = begin(tmp_path, batch=2 * BATCH)._draw(0)
    np.testing.assert_array_equal(drawn, alone)


def test_another_number_of_processes_does_not_resume(out: Path) -> None:
    with pytest.raises(ParameterError, match="it ran in 2 process"):
        begin(out).resume()


def test_the_pace_tells_what_the_time_went_for() -> None:
    times_s = iter([0.0, 1.0, 2.0, 10.0, 11.0, 14.0, 14.0, 20.0])
    pace = Pace(100, clock_s=lambda: next(times_s))
    with pace.waiting():
        pass
    assert pace.since_last(150) == {"samples_per_s": 5.0, "data_share": 0.1}
    with pace.waiting():
        pass
    assert pace.since_last(250) == {"samples_per_s": 25.0, "data_share": 0.75}
    assert pace.whole(300) == "10 samples/s, 20.0 % of the time waiting for data"
