"""The event files that TensorBoard reads hold the numbers of metrics.jsonl."""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path

import pytest

from vla_ros.errors import ParameterError
from vla_ros.learn.curves import flatten
from vla_ros.learn.metrics_log import MetricsLog

LINES = [
    {"samples": 64, "loss": 0.5, "action_by_task": {"pick": 0.25, "push": 1.5}, "target_cm": None},
    {"samples": 128, "loss": 0.375, "action_by_task": {"pick": 0.125}, "target_cm": 3.0},
]


def events(folder: Path) -> list:
    """All events of a folder, oldest file first: length, checksum, event, checksum, again."""
    from tensorboardX.proto.event_pb2 import Event

    found = []
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            found.append(Event.FromString(data[12 : 12 + length]))
            data = data[12 + length + 4 :]
    return found


def test_tensorboard_gets_the_numbers_of_the_file(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path, tensorboard=True)
    for line in LINES:
        log.write(line)
    log.close()
    shown: dict = {}
    for event in events(tmp_path / "tensorboard"):
        for value in event.summary.value:
            shown.setdefault(event.step, {})[value.tag] = value.simple_value
    written = [json.loads(text) for text in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert written == LINES
    assert shown == {line["samples"]: flatten(line) for line in LINES}
    assert shown[64]["action_by_task/push"] == 1.5
    assert "target_cm" not in shown[64]


def test_a_resumed_training_hides_what_it_does_again(tmp_path: Path) -> None:
    for line in (LINES[1], LINES[0]):
        log = MetricsLog(tmp_path, tensorboard=True)
        log.write(line)
        log.close()
    starts = [e.step for e in events(tmp_path / "tensorboard") if e.HasField("session_log")]
    assert 64 in starts


def test_a_missing_package_is_told_before_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ParameterError, match="pip install tensorboardX"):
        MetricsLog(tmp_path, tensorboard=True)
    MetricsLog(tmp_path).write(LINES[0])
    assert not (tmp_path / "tensorboard").exists()
