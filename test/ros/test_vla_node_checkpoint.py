"""The node with a real checkpoint: a tiny network, not trained, for the three-joint arm."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from ros_bench import ACTIVATE, CONFIGURE, Bench
from ros_fakes import values

from vla_ros.policy.checkpoint import WEIGHTS
from vla_ros.ros.policy_source import PolicySource


def test_a_network_moves_the_arm(bench: Bench, checkpoint: Path):
    parameters = {"policy": "in_process", "device": "cpu", "threads": 1}
    bench.start_with(None, checkpoint=str(checkpoint), **parameters)
    assert bench.change(CONFIGURE, ACTIVATE)
    bench.client.play()
    bench.until(bench.connected, "discovery")
    bench.client.say("sway left")
    bench.until_status("running")
    start = [0.3, -0.2, 0.1]
    bench.until(
        lambda: (
            bench.client.arm
            and np.abs(np.subtract(bench.client.arm[-1].points[0].positions, start)).max() > 0.01
        ),
        "motion",
    )
    told_values = values(bench.client.statuses[-1])
    assert float(told_values["inference_ms"]) > 0
    digest = hashlib.sha256((checkpoint / WEIGHTS).read_bytes()).hexdigest()
    assert told_values["weights_sha256"] == digest[:12]

    def told() -> bool:
        report = bench.client.diagnostic("policy")
        return report is not None and report.message == "ready"

    bench.until(told, "diagnostics of the loaded policy")


def test_words_the_policy_does_not_know_are_told(bench: Bench, checkpoint: Path):
    bench.start_with(PolicySource(), checkpoint=str(checkpoint), device="cpu", threads=1)
    assert bench.change(CONFIGURE, ACTIVATE)
    bench.client.play()
    bench.until(bench.connected, "discovery")
    bench.client.say("zzz")
    bench.until_status("hold_bad_instruction")
    assert "zzz" in bench.client.statuses[-1].message
    assert not bench.client.arm


def test_weights_that_are_corrupt_are_refused_at_configure(bench: Bench, checkpoint: Path, capfd):
    content = bytearray((checkpoint / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (checkpoint / WEIGHTS).write_bytes(content)
    bench.start_with(PolicySource(), checkpoint=str(checkpoint))
    assert not bench.change(CONFIGURE)
    (checkpoint / WEIGHTS).unlink()
    assert not bench.change(CONFIGURE)
    err = capfd.readouterr().err
    assert "is corrupt or of another checkpoint" in err
    assert "cannot be read: No such file" in err
