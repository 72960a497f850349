"""The measurement of the policy server runs and writes its numbers."""

from __future__ import annotations

import argparse
import json

import pytest

from vla_ros.bench import server as bench_server
from vla_ros.errors import ParameterError


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    bench_server.add_arguments(parser)
    return parser.parse_args(words)


def test_it_tells_the_round_trip_and_what_batches_give(tmp_path, capsys):
    path, picture = tmp_path / "server.json", tmp_path / "server.png"
    words = ["--seconds", "1", "--clients", "1,3", "--pass-ms", "60", "--row-ms", "1"]
    files = ["--json", str(path), "--plot", str(picture)]
    assert bench_server.run(parse(*words, *files)) == 0
    report = json.loads(path.read_text())
    assert picture.read_bytes().startswith(b"\x89PNG")
    for row in (report["echo"], report["round_trip"], *report["clients"].values()):
        assert 0 < row["p50_ms"] <= row["p99_ms"]
    # A pass of 60 ms is in every answer, three in a row without batches, and in none of the bare.
    assert report["round_trip"]["p50_ms"] < 60
    assert report["clients"]["1 one by one"]["p50_ms"] > 61
    assert report["clients"]["3 one by one"]["p50_ms"] > 2.5 * 61
    assert report["ratios"]["batched_throughput_3"] > 1.3
    printed = capsys.readouterr().out
    assert "cameras of 224 x 224 and 224 x 224, no policy" in printed
    assert "3 clients, in batches" in printed


def test_wrong_options_are_refused_all_at_once():
    with pytest.raises(ParameterError, match=r"--clients: got '0,x'.*\n.*--seconds: got -1"):
        bench_server.run(parse("--clients", "0,x", "--seconds", "-1"))
