"""The HTML report: one folder that holds all it links to, the worst failures first."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from vla_ros.learn.curves import append_metrics
from vla_ros.learn.film import film_name, write_mp4
from vla_ros.learn.jobs import Settings
from vla_ros.learn.report import CLIPS, PAGE, write_report
from vla_ros.learn.rollout import Outcome
from vla_ros.learn.scores import Scored, summarise


def scored(seed: int, *, reward: float, instruction: str = "take it") -> Scored:
    outcome = Outcome(success=reward > 1, reward=reward, time_s=3.0, first_touched="blue")
    return Scored(
        task="pick_object", seed=seed, color="red", instruction=instruction, outcome=outcome
    )


def build(folder: Path, episodes: list[Scored], policy: str = "checkpoint", **more: Any) -> str:
    """Write a report on `episodes`, each with a short film; returns the page."""
    pictures = [np.full((32, 48, 3), shade, np.uint8) for shade in (0, 120, 255)]
    for one in episodes:
        write_mp4(folder / CLIPS / film_name(one.task, one.seed, one.outcome.success), pictures, 20)
    settings = Settings(
        policy=policy,
        checkpoint=folder / "checkpoint",
        robot=Path("panda.yaml"),
        combinations="seen",
        wordings="seen",
        latency_s=0.05,
        film_dir=folder / CLIPS,
    )
    asked = {"policy": policy, "through_ros": False, "seed": 1, "combinations": "seen"}
    asked |= {"wordings": "seen", "shuffled": False, "switch_s": None}
    write_report(folder, {**asked, **summarise(episodes), **more}, settings)
    return (folder / PAGE).read_text()


def test_the_folder_holds_all_that_the_page_shows(tmp_path: Path) -> None:
    append_metrics(tmp_path / "checkpoint" / "metrics.jsonl", {"samples": 64, "action": 0.5})
    page = build(tmp_path, [scored(1, reward=2.0), scored(2, reward=0.1)])
    links = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert {"sheet.png", "loss.png", "results.json"} < set(links)
    assert sum(link.startswith("clips/") for link in links) == 2
    assert [link for link in links if not (tmp_path / link).is_file()] == []


def test_without_metrics_there_is_no_curve(tmp_path: Path) -> None:
    assert "loss.png" not in build(tmp_path, [scored(1, reward=2.0)])


def test_a_policy_without_a_checkpoint_shows_no_training(tmp_path: Path) -> None:
    append_metrics(tmp_path / "checkpoint" / "metrics.jsonl", {"samples": 64, "action": 0.5})
    (tmp_path / "checkpoint" / "config.json").write_text("{}")
    assert "loss.png" not in build(tmp_path, [scored(1, reward=2.0)], policy="expert")


def test_the_worst_failures_come_first(tmp_path: Path) -> None:
    rewards = {1: 2.0, 2: 0.9, 3: 0.0, 4: 0.4}
    page = build(tmp_path, [scored(seed, reward=reward) for seed, reward in rewards.items()])
    cards = re.findall(r'<div class="card (\w+)">.*?seed (\d+)', page, re.DOTALL)
    assert [int(seed) for _, seed in cards] == [3, 4, 2, 1]
    assert [kind for kind, _ in cards] == ["failure"] * 3 + ["success"]


def test_clips_that_are_not_shown_are_deleted(tmp_path: Path) -> None:
    build(tmp_path, [scored(seed, reward=2.0 - 0.01 * seed) for seed in range(5)])
    assert len(list((tmp_path / CLIPS).iterdir())) == 1


def test_words_are_not_taken_for_html(tmp_path: Path) -> None:
    page = build(tmp_path, [scored(1, reward=0.0, instruction="<script>alert(1)</script>")])
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_disturbances_stand_beside_the_undisturbed_run(tmp_path: Path) -> None:
    episodes = [scored(1, reward=2.0)]
    page = build(tmp_path, episodes, disturbed={"kick": summarise([scored(1, reward=0.0)])})
    rows = re.findall(r"<tr><td>(none|kick)</td><td>([\d.]+)", page)
    assert rows == [("none", "100.0"), ("kick", "0.0")]
