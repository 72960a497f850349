"""Numbers on the command line that make no sense are refused by name, with what is valid."""

from __future__ import annotations

import pytest

from vla_ros import cli


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("evaluate --jobs 0", "--jobs: got 0; valid: a whole number from 1 on"),
        ("evaluate --episodes two", "--episodes: got two; valid: a whole number from 1 on"),
        ("evaluate --latency-s -1", "--latency-s: got -1; valid: 0 or a number above it"),
        ("collect --out data --seed -5", "--seed: got -5; valid: a whole number from 0 on"),
        ("train --out run --minutes 0", "--minutes: got 0; valid: a number above 0"),
        ("train --out run --minutes nan", "--minutes: got nan; valid: a number"),
        ("train --out run --threads 0", "--threads: got 0; valid: a whole number from 1 on"),
    ],
)
def test_a_number_out_of_range_is_refused_with_its_option(command, words, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(command.split())
    assert end.value.code == cli.EXIT_ERROR
    assert words in capsys.readouterr().err


def test_numbers_in_range_are_taken(monkeypatch):
    taken = []
    monkeypatch.setattr("vla_ros.learn.evaluate.run", lambda arguments: taken.append(arguments))
    cli.main(
        ["evaluate", "--jobs", "1", "--seed", "0", "--latency-s", "0", "--real-time-factor", "0.5"]
    )
    (arguments,) = taken
    assert (arguments.jobs, arguments.seed) == (1, 0)
    assert (arguments.latency_s, arguments.real_time_factor) == (0.0, 0.5)
