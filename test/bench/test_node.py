"""What `bench node` makes of the ticks that it heard; and the whole of it once, briefly."""

from __future__ import annotations

import argparse
import json
import warnings

import pytest

from vla_ros.bench import node as bench_node
from vla_ros.errors import ParameterError
from vla_ros.ros.pretended_arm import TickSeen

# The first message type imports a parser that uses deprecated modules of Python's.
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import rosidl_generator_py  # noqa: F401


def tick(stamp_s: float, chunk_s: float = 0.0, image_s: float = -0.02) -> TickSeen:
    return TickSeen(
        stamp_s=stamp_s,
        status="running",
        image_ms=(stamp_s - image_s) * 1e3,
        chunk_ms=(stamp_s - chunk_s) * 1e3,
        inference_ms=50.0,
    )


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    bench_node.add_arguments(parser)
    return parser.parse_args(words)


def test_jitter_and_missed_ticks():
    stamps_s = [0.0, 0.010, 0.021, 0.030, 0.062, 0.070]
    measured = bench_node.jitter([tick(stamp_s) for stamp_s in stamps_s], 0.01)
    assert measured["max_ms"] == pytest.approx(22.0)
    assert measured["p50_ms"] == pytest.approx(1.0)
    assert measured["missed"] == 2
    assert measured["missed_by_more_than_a_period"] == 1


def test_the_first_command_of_each_plan_counts():
    ticks = [tick(1.00), tick(1.01), tick(1.02, 0.95, 0.93), tick(1.03, 0.95, 0.93)]
    measured = bench_node.image_to_command(ticks)
    assert measured["cost"]["p50_ms"] == pytest.approx(90.0 - 50.0)
    assert measured["rest"]["p50_ms"] == pytest.approx(20.0)


def test_a_second_plan_from_the_same_picture_does_not_count():
    ticks = [tick(1.00), tick(1.01, 0.95, 0.93), tick(1.02, 0.96, 0.93), tick(1.03, 0.97, 0.96)]
    measured = bench_node.image_to_command(ticks)
    assert measured["cost"]["p50_ms"] == pytest.approx((80.0 + 70.0) / 2 - 50.0)


def test_it_measures_a_node_at_work(untrained_checkpoint, tmp_path, capsys):
    path, picture = tmp_path / "node.json", tmp_path / "node.png"
    words = ["--checkpoint", str(untrained_checkpoint), "--seconds", "1", "--picture-px", "64"]
    words += ["--policies", "in_process", "--json", str(path), "--plot", str(picture)]
    assert bench_node.run(parse(*words)) == 0
    measured = json.loads(path.read_text())["in_process"]
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert measured["busy"]["ticks"] > 20
    assert 0 <= measured["busy"]["p50_ms"] <= measured["busy"]["max_ms"]
    cost = measured["image_to_command"]
    assert cost["inference"]["p50_ms"] > 0
    assert 0 <= cost["cost"]["p50_ms"] < 500
    assert 0 < measured["busy"]["share_computing"] < 1
    assert measured["busy"]["share_waiting_for_a_core"] >= 0
    assert "picture to command, without inference" in capsys.readouterr().out


def test_what_cannot_be_measured_is_refused():
    from vla_ros.share import share_path

    words = ["--robot", str(share_path("config/panda_forward.yaml")), "--policies", "elsewhere"]
    wrong = r"--seconds: got 0; .*\n.*--policies: got elsewhere; .*\n.*sink: forward_command"
    with pytest.raises(ParameterError, match=wrong):
        bench_node.run(parse("--seconds", "0", *words))
