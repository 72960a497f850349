"""Numbers on the command line that make no sense are refused, all at once, with what is valid."""

from __future__ import annotations

from argparse import Namespace

import pytest

from vla_ros import cli
from vla_ros.option_ranges import FROM_1, out_of_range


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("evaluate --jobs 0 --seed -1", ["--jobs: got 0; valid: from 1", "--seed: got -1"]),
        ("evaluate --latency-s -1", ["--latency-s: got -1; valid: 0 to 10"]),
        ("collect --out data --seed -5", ["--seed: got -5; valid: from 0"]),
        ("train --out run --minutes 0 --threads 0", ["--minutes: got 0", "--threads: got 0"]),
        ("train --out run --minutes nan", ["--minutes: got nan; valid: from 0.01"]),
        ("ablate --data data --out runs --seeds 0", ["--seeds: got 0; valid: from 1"]),
        ("demo --real-time-factor 0", ["--real-time-factor: got 0; valid: 0.01 to 100"]),
        ("check --robot arm.yaml --seconds -2", ["--seconds: got -2; valid: 0.1 to 600"]),
    ],
)
def test_numbers_out_of_range_are_refused_all_at_once(command, words, capsys):
    assert cli.main(command.split()) == cli.EXIT_ERROR
    told = capsys.readouterr().err
    assert [word for word in words if word not in told] == []


def test_a_number_in_range_and_one_that_was_left_out_are_fine():
    assert out_of_range(Namespace(jobs=1, threads=None), {"jobs": FROM_1, "threads": FROM_1}) == []
