"""What is written is what is read, row for row and picture for picture."""

from __future__ import annotations

import json
import logging
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vla_ros.errors import DatasetError
from vla_ros.learn.dataset import Dataset
from vla_ros.learn.dataset_writer import DatasetWriter
from vla_ros.learn.episode import EpisodeData

NAMES = ("a", "b", "gripper")


def open_writer(root: Path, **changes: Any) -> DatasetWriter:
    options: dict[str, Any] = {
        "robot": "toy",
        "fps": 20,
        "cameras": ("front", "wrist"),
        "height_px": 32,
        "width_px": 48,
        "state_names": NAMES,
        "action_names": NAMES,
        "episodes_per_part": 3,
    }
    return DatasetWriter(root, **(options | changes))


def numbered_frames(first: int, length: int, height_px: int = 32, width_px: int = 48) -> np.ndarray:
    """Pictures that show their own number as 12 black or white columns."""
    numbers = np.arange(first, first + length)
    bits = (numbers[:, None] >> np.arange(12)) & 1
    columns = np.repeat(bits, width_px // 12, axis=1).astype(np.uint8) * 255
    frames = np.zeros((length, height_px, width_px, 3), np.uint8)
    frames[:, :, : columns.shape[1]] = columns[:, None, :, None]
    return frames


def read_numbers(frames: np.ndarray) -> list[int]:
    width_px = frames.shape[2] // 12
    columns = frames[..., : 12 * width_px, :].mean(axis=(1, 3)).reshape(len(frames), 12, width_px)
    bits = columns.mean(axis=2) > 127
    return (bits @ (1 << np.arange(12))).tolist()


def episode(seed: int, length: int = 7, **changes: Any) -> EpisodeData:
    """An episode whose pictures carry `100 * seed + row`, those of the wrist 2000 more."""
    rng = np.random.default_rng(seed)
    values: dict[str, Any] = {
        "frames": {
            "front": numbered_frames(100 * seed, length),
            "wrist": numbered_frames(2000 + 100 * seed, length),
        },
        "state": rng.normal(size=(length, 3)).astype(np.float32),
        "action": rng.normal(size=(length, 3)).astype(np.float32),
        "target_m": rng.normal(size=(length, 3)).astype(np.float32),
        "instruction": f"push the {('red', 'blue')[seed % 2]} block",
        "task": "push_object",
        "color": ("red", "blue")[seed % 2],
        "seed": seed,
    }
    values |= changes
    target_uv = rng.normal(size=(length, len(values["frames"]), 2)).astype(np.float32)
    return EpisodeData(**({"target_uv": target_uv} | values))


def write(root: Path, lengths: dict[int, int]) -> dict[int, EpisodeData]:
    """Write episodes of the given seeds and lengths."""
    episodes = {seed: episode(seed, length) for seed, length in lengths.items()}
    with open_writer(root) as writer:
        for one in episodes.values():
            writer.add(one)
    return episodes


def assert_holds(dataset: Dataset, episodes: list[EpisodeData]) -> None:
    assert [info.seed for info in dataset.episodes] == [one.seed for one in episodes]
    assert len(dataset) == sum(map(len, episodes)) == len(dataset.frames["front"])
    for one, info in zip(episodes, dataset.episodes, strict=True):
        rows = slice(info.start, info.stop)
        np.testing.assert_array_equal(dataset.state[rows], one.state)
        np.testing.assert_array_equal(dataset.action[rows], one.action)
        np.testing.assert_array_equal(dataset.target_m[rows], one.target_m)
        np.testing.assert_array_equal(dataset.target_uv[rows], one.target_uv)
        assert (info.instruction, info.color) == (one.instruction, one.color)
        for name, frames in one.frames.items():
            assert read_numbers(dataset.frames[name][rows]) == read_numbers(frames)


@pytest.fixture(autouse=True)
def quiet_av(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger="vla_ros")


def test_rows_and_pictures_stay_together(tmp_path: Path) -> None:
    episodes = write(tmp_path, {1: 7, 2: 1, 3: 12, 4: 30, 5: 5})
    dataset = Dataset.open(tmp_path)
    assert_holds(dataset, list(episodes.values()))
    assert (dataset.fps, dataset.robot) == (20.0, "toy")
    assert dataset.state_names == dataset.action_names == NAMES
    assert len(list((tmp_path / "data").rglob("*.parquet"))) == 2


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_shape_comes_back(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    height_px, width_px = (data.draw(st.integers(16, 80)) for _ in range(2))
    states, actions = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 9))
    lengths = data.draw(st.lists(st.integers(1, 25), min_size=1, max_size=5))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    root = tmp_path_factory.mktemp("any")
    written = []
    with open_writer(
        root,
        cameras=("only",),
        height_px=height_px,
        width_px=width_px,
        state_names=[f"s{k}" for k in range(states)],
        action_names=[f"a{k}" for k in range(actions)],
        episodes_per_part=data.draw(st.integers(1, 3)),
    ) as writer:
        for seed, length in enumerate(lengths):
            color = rng.integers(0, 256, (length, 1, 1, 3)).astype(np.uint8)
            one = episode(
                seed,
                length,
                frames={"only": np.broadcast_to(color, (length, height_px, width_px, 3))},
                state=rng.normal(size=(length, states)),
                action=rng.normal(size=(length, actions)),
            )
            writer.add(one)
            written.append(one)
    dataset = Dataset.open(root)
    np.testing.assert_array_equal(
        dataset.state, np.concatenate([one.state for one in written]).astype(np.float32)
    )
    assert dataset.action.shape == (sum(lengths), actions)
    wanted = np.concatenate([one.frames["only"] for one in written]).astype(int)
    assert np.abs(dataset.frames["only"].astype(int) - wanted).mean() < 4


def test_a_small_saturated_block_keeps_its_color(tmp_path: Path) -> None:
    frames = np.full((20, 96, 96, 3), (170, 160, 150), np.uint8)
    for row, corner in enumerate(range(10, 50, 2)):
        frames[row, corner : corner + 7, corner : corner + 7] = (220, 30, 30)
    with open_writer(tmp_path, cameras=("front",), height_px=96, width_px=96) as writer:
        writer.add(episode(1, 20, frames={"front": frames}))
    read = Dataset.open(tmp_path).frames["front"]
    red = (frames == (220, 30, 30)).all(axis=3)
    assert np.abs(read[red].mean(axis=0) - (220, 30, 30)).max() < 5
    error = np.mean((read.astype(float) - frames) ** 2)
    assert 10 * np.log10(255**2 / error) > 40


def test_statistics_are_those_of_the_rows(tmp_path: Path) -> None:
    write(tmp_path, {1: 9, 2: 3, 3: 20, 4: 1})
    write(tmp_path, {5: 4})
    dataset = Dataset.open(tmp_path)
    written = json.loads((tmp_path / "meta/stats.json").read_text())
    for key, values in (("observation.state", dataset.state), ("action", dataset.action)):
        statistics = written[key]
        np.testing.assert_allclose(statistics["mean"], values.mean(axis=0), atol=1e-6)
        np.testing.assert_allclose(statistics["std"], values.std(axis=0), atol=1e-6)
        np.testing.assert_allclose(statistics["min"], values.min(axis=0), atol=1e-6)
        np.testing.assert_allclose(statistics["max"], values.max(axis=0), atol=1e-6)
        assert statistics["count"] == [37]
    front = written["observation.images.front"]
    assert np.shape(front["mean"]) == (3, 1, 1)
    assert 0 <= np.min(front["q01"]) <= np.max(front["q99"]) <= 1


def test_the_files_are_those_of_a_lerobot_dataset(tmp_path: Path) -> None:
    write(tmp_path, {1: 7, 2: 3, 3: 12, 4: 30})
    info = json.loads((tmp_path / "meta/info.json").read_text())
    assert info["codebase_version"] == "v3.0"
    assert (info["total_episodes"], info["total_frames"], info["total_tasks"]) == (4, 52, 2)
    assert info["splits"] == {"train": "0:4"}
    data = pa.concat_tables(
        pq.read_table(path) for path in sorted(tmp_path.glob("data/*/*.parquet"))
    )
    # LeRobot refuses a column that is not among the features, and a feature without a column.
    columns = {key for key, feature in info["features"].items() if feature["dtype"] != "video"}
    assert set(data.column_names) == columns
    assert data["index"].to_pylist() == list(range(52))
    assert "target.position" in columns
    episodes = pq.read_table(tmp_path / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    assert [one["videos/observation.images.wrist/from_timestamp"] for one in episodes] == [
        0.0,
        0.35,
        0.5,
    ]
    tasks = pq.read_table(tmp_path / "meta/tasks.parquet")
    assert json.loads(tasks.schema.metadata[b"pandas"])["index_columns"] == ["task"]
    assert tasks["task"].to_pylist() == ["push the blue block", "push the red block"]


def test_pictures_are_decoded_once(tmp_path: Path) -> None:
    root, cache = tmp_path / "data", tmp_path / "cache"
    episodes = write(root, {1: 7, 2: 3})
    Dataset.open(root, cache)
    decoded = (cache / "front.rgb").stat().st_mtime_ns
    assert_holds(Dataset.open(root, cache), list(episodes.values()))
    assert (cache / "front.rgb").stat().st_mtime_ns == decoded
    episodes |= write(root, {3: 5})
    assert_holds(Dataset.open(root, cache), list(episodes.values()))


@pytest.mark.parametrize("damage", ["truncate", "delete", "garble"])
def test_a_broken_cache_is_made_anew(tmp_path: Path, damage: str) -> None:
    episodes = write(tmp_path, {1: 7, 2: 3})
    Dataset.open(tmp_path)
    cache = tmp_path / ".frames_cache"
    match damage:
        case "truncate":
            (cache / "front.rgb").write_bytes(b"short")
        case "delete":
            (cache / "wrist.rgb").unlink()
        case "garble":
            (cache / "manifest.json").write_text("{")
    assert_holds(Dataset.open(tmp_path), list(episodes.values()))


def test_half_a_cache_of_a_killed_process_is_cleared_and_no_others(tmp_path: Path) -> None:
    write(tmp_path, {1: 7})
    cache = tmp_path / ".frames_cache"
    cache.mkdir()
    killed = subprocess.Popen(["true"])
    killed.wait()
    left, running = (cache / f"front.rgb.partial-{pid}" for pid in (killed.pid, os.getppid()))
    for path in (left, running):
        path.touch()
    Dataset.open(tmp_path)
    assert not left.exists()
    assert running.exists()


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    write(tmp_path / "data", {1: 7})
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DatasetError, match=r"frame cache .*file.* cannot be written"):
        Dataset.open(tmp_path / "data", tmp_path / "file")


def rewrite(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    pq.write_table(change(pq.read_table(path)), path)


def set_value(key: str, row: int, value: Any) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        values = table[key].to_pylist()
        values[row] = value
        index = table.schema.get_field_index(key)
        return table.set_column(index, key, pa.array(values, table.schema.field(key).type))

    return change


DATA_0, DATA_1 = "data/chunk-000/file-000.parquet", "data/chunk-000/file-001.parquet"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            set_value("observation.state", 8, [0.0, float("nan"), 0.0]),
            "state is not finite in row 1",
        ),
        (set_value("action", 8, [float("inf"), 0.0, 0.0]), "action is not finite in row 1"),
        (set_value("frame_index", 8, 5), "frame_index does not run from 0 to 2"),
        (set_value("episode_index", 8, 0), "it has 2 rows, its length is 3"),
        (lambda table: table.slice(0, 9), "it has 2 rows, its length is 3"),
    ],
)
def test_a_broken_episode_is_named_and_left_out(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    change: Callable[[pa.Table], pa.Table],
    reason: str,
) -> None:
    episodes = write(tmp_path, {1: 7, 2: 3, 3: 5, 4: 6})
    rewrite(tmp_path / DATA_0, change)
    dataset = Dataset.open(tmp_path)
    assert any("episode 1" in text and reason in text for text in caplog.messages)
    kept = {info.seed for info in dataset.episodes}
    assert 2 not in kept
    assert 4 in kept
    assert_holds(dataset, [episodes[seed] for seed in episodes if seed in kept])


def test_a_broken_data_file_costs_its_episodes_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    episodes = write(tmp_path, {1: 7, 2: 3, 3: 5, 4: 6})
    (tmp_path / DATA_0).write_bytes(b"PAR1 nothing of the kind")
    assert_holds(Dataset.open(tmp_path), [episodes[4]])
    assert "skipping episodes 0 to 2" in caplog.text


@pytest.mark.parametrize("damage", ["missing", "cut", "no video"])
def test_a_broken_video_file_costs_its_episodes_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    episodes = write(tmp_path, {1: 7, 2: 3, 3: 5, 4: 6, 5: 4})
    video = tmp_path / "videos/observation.images.wrist/chunk-000/file-000.mp4"
    match damage:
        case "missing":
            video.unlink()
        case "cut":
            video.write_bytes(video.read_bytes()[:-400])
        case "no video":
            video.write_text("no video")
    assert_holds(Dataset.open(tmp_path), [episodes[4], episodes[5]])
    assert "skipping episode(s) 0, 1, 2" in caplog.text
    assert str(video) in caplog.text
    caplog.clear()
    assert_holds(Dataset.open(tmp_path), [episodes[4], episodes[5]])
    assert "skipping episode(s) 0, 1, 2" in caplog.text  # from the cache too


@pytest.mark.parametrize("seed", range(3))
def test_damage_inside_a_video_costs_the_episodes_it_hits(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    frames = 120 + rng.integers(0, 5, (30, 32, 48, 3)).astype(np.uint8)
    for row in range(30):
        frames[row, 8:20, row : row + 12] = (220, 30, 30)
    with open_writer(tmp_path) as writer:
        for number in (1, 2, 3):
            writer.add(episode(number, 30, frames={"front": frames, "wrist": frames}))
    whole = np.array(Dataset.open(tmp_path).frames["front"])
    video = tmp_path / "videos/observation.images.front/chunk-000/file-000.mp4"
    content = bytearray(video.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 20] = rng.integers(0, 256, 20, dtype=np.uint8).tobytes()
    video.write_bytes(content)
    dataset = Dataset.open(tmp_path)
    assert [info.seed for info in dataset.episodes] == [1, 3]
    assert "skipping episode(s) 1: video" in caplog.text
    np.testing.assert_array_equal(dataset.frames["front"], np.delete(whole, slice(30, 60), axis=0))


def test_nothing_whole_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, {1: 7})
    (tmp_path / DATA_0).unlink()
    with pytest.raises(DatasetError, match="no whole episode"):
        Dataset.open(tmp_path)


def change_info(root: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = root / "meta/info.json"
    info = json.loads(path.read_text())
    change(info)
    path.write_text(json.dumps(info))


@pytest.mark.parametrize(
    ("change", "reasons"),
    [
        (lambda info: info.update(codebase_version="v2.1"), ["'v2.1'; valid: v3.0"]),
        (lambda info: (info.pop("fps"), info.pop("data_path")), ["'fps' is", "'data_path' is"]),
        (lambda info: info.update(fps=0), ["fps is 0; valid"]),
        (lambda info: info.update(fps=True), ["fps is True; valid"]),
        (lambda info: info.update(fps=float("inf")), ["fps is inf; valid"]),
        (lambda info: info.update(data_path="{episode_chunk}"), ["{episode_chunk}", "valid: like"]),
        (lambda info: info.update(data_path="{chunk_index.x}"), ["{chunk_index.x}", "valid: like"]),
        (lambda info: info.update(video_path=7), ["video_path is 7; valid: like"]),
        (lambda info: info.update(features=[]), ["features is not an object"]),
        (
            lambda info: info["features"]["action"].update(shape=["8"]),
            ["a list of whole numbers from 1"],
        ),
        (
            lambda info: info["features"]["observation.images.front"].update(shape=[32, 0, 3]),
            ["a list of whole numbers from 1"],
        ),
        (
            lambda info: info["features"]["action"].update(dtype=None),
            ["each have a dtype"],
        ),
        (
            lambda info: (
                info["features"].pop("action"),
                info["features"].pop("observation.state"),
            ),
            ["lacks 'action'", "lacks 'observation.state'", "it has: target.position"],
        ),
        (
            lambda info: info["features"]["observation.images.front"].update(dtype="image"),
            ["observation.images.front is of dtype 'image'; valid: 'video'"],
        ),
        (
            lambda info: [
                info["features"].pop(f"observation.images.{name}") for name in ("front", "wrist")
            ],
            ["no camera"],
        ),
    ],
)
def test_another_layout_is_refused_with_all_reasons(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], reasons: list[str]
) -> None:
    write(tmp_path, {1: 2})
    change_info(tmp_path, change)
    with pytest.raises(DatasetError, match=r"info\.json: \d problem") as caught:
        Dataset.open(tmp_path)
    for reason in reasons:
        assert reason in str(caught.value)


def test_a_folder_without_a_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no LeRobotDataset v3\.0: .*info\.json"):
        Dataset.open(tmp_path)


def test_a_dataset_of_somebody_else(tmp_path: Path) -> None:
    """No target, no scene, no statistics, names in a dict or not at all, channels first."""
    episodes = write(tmp_path, {1: 4, 2: 6})

    def plain(info: dict[str, Any]) -> None:
        features = info["features"]
        del features["target.position"], features["target.in_pictures"], info["robot_type"]
        features["observation.state"]["names"] = {"motors": ["x", "y", "z"]}
        features["action"]["names"] = None
        features["observation.images.front"]["shape"] = [3, 32, 48]

    change_info(tmp_path, plain)
    (tmp_path / "meta/stats.json").unlink()
    rewrite(
        tmp_path / DATA_0,
        lambda table: table.drop_columns(["target.position", "target.in_pictures"]),
    )
    rewrite(
        tmp_path / "meta/episodes/chunk-000/file-000.parquet",
        lambda table: table.drop_columns(
            [name for name in table.column_names if name.startswith(("scene/", "stats/"))]
        ),
    )
    dataset = Dataset.open(tmp_path)
    assert np.isnan(dataset.target_m).all()
    assert np.isnan(dataset.target_uv).all()
    assert [info.instruction for info in dataset.episodes] == [
        one.instruction for one in episodes.values()
    ]
    assert {(i.task, i.color, i.direction, i.place, i.seed) for i in dataset.episodes} == {
        ("", "", "", "", None)
    }
    assert dataset.robot == ""
    assert dataset.state_names == ("x", "y", "z")
    assert dataset.action_names == ("action_0", "action_1", "action_2")
    assert dataset.frames["front"].shape == (10, 32, 48, 3)
