"""The measurement of the loop runs and writes its numbers."""

from __future__ import annotations

import argparse
import json

from vla_ros.bench import loop as bench_loop


def test_it_prints_and_writes_both_percentiles(tmp_path, capsys):
    parser = argparse.ArgumentParser()
    bench_loop.add_arguments(parser)
    path, picture = tmp_path / "loop.json", tmp_path / "loop.png"
    words = ["--seconds", "3", "--steps", "200", "--json", str(path), "--plot", str(picture)]
    assert bench_loop.run(parser.parse_args(words)) == 0
    report = json.loads(path.read_text())
    assert picture.read_bytes().startswith(b"\x89PNG")
    for name in ("step_ms", "step_cpu_ms", "jitter_ms", "tick_step_ms"):
        assert 0 <= report[name]["p50"] <= report[name]["p99"]
    assert 0 < report["step_cpu_ms"]["p50"] < 2.0
    # The tick runs the loop: a real step is measured, and plans of the thread arrive in it.
    assert report["tick_step_ms"]["p50"] > 0.01
    assert report["inference_ms"]["p50"] > 1.0
    printed = capsys.readouterr().out
    assert "ControlLoop.step of panda, 200 steps: p50" in printed
    assert "jitter of the 100 Hz tick, 300 ticks: p50" in printed
    assert "its step beside a policy that computes: p50" in printed
