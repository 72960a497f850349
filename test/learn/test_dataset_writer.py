"""A collection can be interrupted at any moment, and goes on after its last whole part."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vla_ros.errors import DatasetError
from vla_ros.learn.dataset import Dataset
from vla_ros.learn.dataset_writer import DatasetWriter
from vla_ros.learn.episode import EpisodeData

LENGTH = 12


def open_writer(root: Path, **changes: Any) -> DatasetWriter:
    options: dict[str, Any] = {
        "robot": "toy",
        "fps": 20,
        "cameras": ("front",),
        "height_px": 32,
        "width_px": 32,
        "state_names": ("a", "b"),
        "action_names": ("a", "b"),
        "episodes_per_part": 3,
    }
    return DatasetWriter(root, **(options | changes))


def episode(seed: int, **changes: Any) -> EpisodeData:
    """An episode whose pictures are of grey `seed`, whose state is `seed`."""
    values: dict[str, Any] = {
        "frames": {"front": np.full((LENGTH, 32, 32, 3), seed, np.uint8)},
        "state": np.full((LENGTH, 2), seed, np.float32),
        "action": np.full((LENGTH, 2), seed, np.float32),
        "target_m": np.zeros((LENGTH, 3), np.float32),
        "target_uv": np.zeros((LENGTH, 1, 2), np.float32),
        "instruction": f"take {seed % 4}",
        "task": "pick_object",
        "seed": seed,
    }
    return EpisodeData(**(values | changes))


def assert_whole(root: Path, seeds: list[int]) -> None:
    dataset = Dataset.open(root)
    assert [info.seed for info in dataset.episodes] == seeds
    assert [info.instruction for info in dataset.episodes] == [f"take {s % 4}" for s in seeds]
    rows = np.repeat(seeds, LENGTH)
    np.testing.assert_array_equal(dataset.state[:, 0], rows)
    assert np.abs(dataset.frames["front"].mean(axis=(1, 2, 3)) - rows).max() < 2
    written = json.loads((root / "meta/stats.json").read_text())
    assert written["action"]["count"] == [len(rows)]


def test_it_continues_where_it_ended(tmp_path: Path) -> None:
    for session in range(3):
        with open_writer(tmp_path) as writer:
            assert writer.seeds == {("pick_object", seed) for seed in range(4 * session)}
            assert writer.episodes == 4 * session
            for seed in range(4 * session, 4 * session + 4):
                writer.add(episode(seed))
    assert_whole(tmp_path, list(range(12)))


_ENDLESS = """
import itertools, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_dataset_writer import episode, open_writer
writer = open_writer(Path(sys.argv[1]))
for seed in itertools.count(writer.episodes):
    writer.add(episode(seed))
    print(seed, flush=True)
"""


def collect_and_kill(root: Path, after: int) -> int:
    """Let a real process collect, kill it when it has added `after` episodes; give its last."""
    command = [sys.executable, "-c", _ENDLESS, str(root), str(Path(__file__).parent)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for _ in range(after):
        last = process.stdout.readline()
    os.kill(process.pid, signal.SIGKILL)
    rest = process.stdout.read().split()
    process.wait()
    process.stdout.close()
    return int(([last, *rest])[-1])


def test_it_survives_being_killed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = 0
    for after in (4, 5, 7, 2):
        last = collect_and_kill(tmp_path, after)
        with open_writer(tmp_path) as writer:
            # All but the part under way is there, and that is named when it is dropped. The kill
            # may fall after an episode was added and before its number was printed.
            assert last + 1 - 3 <= writer.episodes <= last + 2
            assert whole <= writer.episodes
            whole = writer.episodes
            assert writer.seeds == {("pick_object", seed) for seed in range(whole)}
        assert list(tmp_path.rglob("*.partial")) == []
    assert "dropping half-written file" in caplog.text
    with open_writer(tmp_path) as writer:
        writer.add(episode(whole))
    assert_whole(tmp_path, list(range(whole + 1)))


@pytest.mark.parametrize("lost", ["meta/episodes", "meta/.info.json.partial", "totals"])
def test_a_part_cut_short_at_any_step(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, lost: str
) -> None:
    """Each state that a kill between two renames can leave."""
    with open_writer(tmp_path) as writer:
        for seed in range(3):
            writer.add(episode(seed))
        totals = (tmp_path / "meta/info.json").read_bytes()
        for seed in range(3, 6):
            writer.add(episode(seed))
    kept = 6
    match lost:
        case "meta/episodes":
            (tmp_path / "meta/episodes/chunk-000/file-001.parquet").unlink()
            kept = 3
        case "meta/.info.json.partial":
            (tmp_path / "meta/.info.json.partial").write_text('{"codebase')
        case "totals":
            (tmp_path / "meta/info.json").write_bytes(totals)
            (tmp_path / "meta/stats.json").unlink()
    with open_writer(tmp_path) as writer:
        assert writer.episodes == kept
        # LeRobot reads every file it finds under data/.
        assert len(list(tmp_path.glob("data/*/*"))) == kept / 3
        writer.add(episode(kept))
    assert_whole(tmp_path, list(range(kept + 1)))
    named = [text for text in caplog.messages if "dropping half-written file" in text]
    if lost == "meta/episodes":
        assert len(named) == 2  # the data and the video
        assert "file-001" in named[0]


def test_a_garbled_last_part_is_dropped_by_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with open_writer(tmp_path) as writer:
        for seed in range(6):
            writer.add(episode(seed))
    table = tmp_path / "meta/episodes/chunk-000/file-001.parquet"
    table.write_bytes(table.read_bytes()[:100])
    with open_writer(tmp_path) as writer:
        assert writer.episodes == 3
    assert f"dropping {table}" in caplog.text
    assert_whole(tmp_path, [0, 1, 2])


def test_a_gap_in_the_parts_is_refused(tmp_path: Path) -> None:
    with open_writer(tmp_path) as writer:
        for seed in range(6):
            writer.add(episode(seed))
    (tmp_path / "meta/episodes/chunk-000/file-000.parquet").unlink()
    with pytest.raises(DatasetError, match="episode 0 is missing in meta/episodes"):
        open_writer(tmp_path)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"state": np.full((LENGTH, 2), np.nan, np.float32)}, "state: row 0 is not finite"),
        ({"action": np.zeros((LENGTH, 3), np.float32)}, r"shape is \(12, 3\), not \(12, 2\)"),
        ({"target_m": np.zeros((LENGTH - 1, 3), np.float32)}, "target.position: its shape"),
        ({"target_uv": None}, "target.in_pictures: it is missing"),
        ({"frames": {}}, r"its cameras are \[\], not \['front'\]"),
        ({"frames": {"front": np.zeros((LENGTH, 32, 32, 3))}}, "float64 .*not uint8"),
        ({"frames": {"front": np.zeros((LENGTH, 64, 32, 3), np.uint8)}}, "64, 32, 3"),
        ({"instruction": " "}, "its instruction is empty"),
    ],
)
def test_an_episode_that_does_not_fit_leaves_no_trace(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    with open_writer(tmp_path) as writer:
        writer.add(episode(0))
        with pytest.raises(DatasetError, match=f"'pick_object', seed 1, is refused.*{reason}"):
            writer.add(episode(1, **changes))
        assert ("pick_object", 1) not in writer.seeds
        writer.add(episode(2))
    assert_whole(tmp_path, [0, 2])


def test_a_dataset_that_does_not_know_the_target_says_so(tmp_path: Path) -> None:
    """As one recorded from a robot, where nobody knows where the named object is."""
    options: dict[str, Any] = {"robot": "r", "fps": 10, "cameras": ("front",)}
    options |= {"height_px": 32, "width_px": 32, "has_target": False}
    names = {"state_names": ("a", "b"), "action_names": ("a", "b")}
    with DatasetWriter(tmp_path, **options, **names) as writer:
        writer.add(episode(0, target_m=None, target_uv=None))
        with pytest.raises(DatasetError, match="the dataset has no such column"):
            writer.add(episode(1))
    assert_whole(tmp_path, [0])
    assert np.isnan(Dataset.open(tmp_path).target_uv).all()


def test_an_interrupted_episode_shifts_nothing(tmp_path: Path) -> None:
    class Interrupting(np.ndarray):
        def __iter__(self) -> Any:
            yield np.asarray(self[0])
            yield np.asarray(self[1])
            raise KeyboardInterrupt

    with open_writer(tmp_path) as writer:
        writer.add(episode(100))
        frames = episode(200).frames["front"].view(Interrupting)
        with pytest.raises(KeyboardInterrupt):
            writer.add(episode(200, frames={"front": frames}))
        writer.add(episode(50))
    assert_whole(tmp_path, [100, 50])


def test_another_layout_is_refused(tmp_path: Path) -> None:
    open_writer(tmp_path).close()
    with pytest.raises(
        DatasetError, match=r"another layout.*robot_type: it has 'toy'.*fps: it has"
    ):
        open_writer(tmp_path, robot="other", fps=10)


def test_two_processes_do_not_write_at_once(tmp_path: Path) -> None:
    with open_writer(tmp_path):
        command = [sys.executable, "-c", _ENDLESS, str(tmp_path), str(Path(__file__).parent)]
        second = subprocess.run(command, capture_output=True, text=True, check=False)
    assert second.returncode != 0
    assert "is being written by another process" in second.stderr


def test_a_closed_writer_takes_nothing(tmp_path: Path) -> None:
    writer = open_writer(tmp_path)
    writer.add(episode(0))
    writer.close()
    writer.close()
    with pytest.raises(DatasetError, match="is closed"):
        writer.add(episode(1))
    assert_whole(tmp_path, [0])


def test_a_disk_that_refuses_costs_the_part_only(tmp_path: Path) -> None:
    with open_writer(tmp_path) as writer:
        for seed in range(3):
            writer.add(episode(seed))
        writer.add(episode(3))
        in_the_way = tmp_path / "data/chunk-000/file-001.parquet"
        in_the_way.mkdir()
        with pytest.raises(DatasetError, match="cannot be written.*it has the episodes before 3"):
            writer.flush()
    in_the_way.rmdir()
    with open_writer(tmp_path) as writer:
        assert writer.episodes == 3
        writer.add(episode(3))
    assert_whole(tmp_path, [0, 1, 2, 3])


def add_and_flush(writer: DatasetWriter, added: EpisodeData) -> None:
    writer.add(added)
    writer.flush()


def test_a_full_disk_closes_the_writer_and_keeps_what_was_finished(tmp_path: Path) -> None:
    with open_writer(tmp_path) as writer:
        for seed in range(3):
            writer.add(episode(seed))
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
        try:
            with pytest.raises(DatasetError, match="cannot be written.*has the episodes before 3"):
                add_and_flush(writer, episode(3))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert writer.is_closed
    with open_writer(tmp_path) as writer:
        writer.add(episode(3))
    assert_whole(tmp_path, [0, 1, 2, 3])
