"""`evaluate --report`: the results of an evaluation as a page with pictures and clips.

The folder is self-contained: copy it anywhere and open `index.html`.
"""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2

import vla_ros
from vla_ros.learn.curves import plot_metrics
from vla_ros.learn.film import film_name, read_stills, write_contact_sheet
from vla_ros.learn.jobs import Settings
from vla_ros.policy.checkpoint import CONFIG, read_checkpoint

PAGE, CLIPS, SHEET, CURVES, RESULTS = "index.html", "clips", "sheet.png", "loss.png", "results.json"
_SHOWN_FAILURES, _SHEET_ROWS, _STILLS = 24, 12, 6
_METRICS = "metrics.jsonl"

Episode = dict[str, Any]


def write_report(folder: Path, result: dict[str, Any], settings: Settings) -> None:
    """Write the page around the clips that the evaluation left in `folder`.

    Args:
        folder: Its `clips` hold a film of every episode; those that are not shown are deleted.
        result: As `evaluate --json` writes it.
        settings: What was evaluated.
    """
    shown = select(result["episodes"])
    _keep_clips(folder / CLIPS, shown)
    _write_sheet(folder, shown)
    is_trained = settings.policy == "checkpoint"
    has_curves = is_trained and (settings.checkpoint / _METRICS).is_file()
    if has_curves:
        plot_metrics(settings.checkpoint / _METRICS, folder / CURVES)
    (folder / RESULTS).write_text(json.dumps(result, indent=1))
    text = (files("vla_ros.learn") / "report.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    page = environment.from_string(text).render(
        result=result,
        rows=[*result["tasks"].items(), ("overall", result["overall"])],
        disturbed=[("none", result), *result.get("disturbed", {}).items()],
        settings=settings,
        version=vla_ros.__version__,
        training=_training(settings),
        shown=[{**episode, "clip": _clip(folder, episode)} for episode in shown],
        failures=sum(not episode["success"] for episode in result["episodes"]),
        sheet=SHEET if (folder / SHEET).exists() else None,
        curves=CURVES if has_curves else None,
    )
    (folder / PAGE).write_text(page, encoding="utf-8")


def select(episodes: list[Episode]) -> list[Episode]:
    """The failures with the least progress first, then the quickest success of each task."""
    failures = [episode for episode in episodes if not episode["success"]]
    failures.sort(key=lambda episode: (episode["reward"], episode["task"], episode["seed"]))
    best: dict[str, Episode] = {}
    for episode in sorted(episodes, key=lambda episode: episode["time_s"]):
        if episode["success"]:
            best.setdefault(episode["task"], episode)
    return failures[:_SHOWN_FAILURES] + list(best.values())


def _name(episode: Episode) -> str:
    return film_name(episode["task"], episode["seed"], episode["success"])


def _clip(folder: Path, episode: Episode) -> str | None:
    """Path of an episode's film inside the report; `None` when there is none."""
    name = _name(episode)
    return f"{CLIPS}/{name}" if (folder / CLIPS / name).exists() else None


def _keep_clips(clips: Path, shown: list[Episode]) -> None:
    clips.mkdir(parents=True, exist_ok=True)
    names = {_name(episode) for episode in shown}
    for path in clips.glob("*.mp4"):
        if path.name not in names:
            path.unlink()


def _write_sheet(folder: Path, shown: list[Episode]) -> None:
    (folder / SHEET).unlink(missing_ok=True)
    rows = [
        (_title(episode), [still[::2, ::2] for still in read_stills(folder / clip, _STILLS)])
        for episode in shown[:_SHEET_ROWS]
        if (clip := _clip(folder, episode))
    ]
    if rows:
        write_contact_sheet(folder / SHEET, rows)


def _title(episode: Episode) -> str:
    verdict = "success" if episode["success"] else "failure"
    # OpenCV's font knows no arrow.
    text = episode["instruction"].replace("→", "->")
    return f"{verdict}: {text} (seed {episode['seed']}, {episode['time_s']:.1f} s)"


def _training(settings: Settings) -> dict[str, Any]:
    """How the checkpoint came about, as its `config.json` says; empty for another policy."""
    if settings.policy != "checkpoint" or not (settings.checkpoint / CONFIG).is_file():
        return {}
    return dict(read_checkpoint(settings.checkpoint).training)
