"""Success rates with intervals, per task and overall."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from vla_ros.learn.rollout import Outcome

_Z95 = 1.959964
_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class Scored:
    """One finished episode: what it was and how it ended."""

    task: str
    seed: int
    color: str
    instruction: str
    outcome: Outcome


def wilson_interval(successes: int, episodes: int) -> tuple[float, float]:
    """95 % interval of a success rate (Wilson, 1927); all of [0, 1] without episodes."""
    if episodes == 0:
        return 0.0, 1.0
    rate, square = successes / episodes, _Z95**2 / episodes
    middle = (rate + square / 2) / (1 + square)
    half = _Z95 / (1 + square) * math.sqrt(rate * (1 - rate) / episodes + square / 4 / episodes)
    return max(0.0, middle - half), min(1.0, middle + half)


def summarise(scored: Sequence[Scored], *, shuffled: bool = False) -> dict[str, Any]:
    """`overall` and `tasks.<name>`, each with rate, interval, episodes and mean reward.

    Args:
        scored: The episodes.
        shuffled: The words were not of the scene: which block was touched first tells nothing.
    """
    tasks = list(dict.fromkeys(one.task for one in scored))
    touching = (
        [] if shuffled else [one for one in scored if one.color and one.outcome.first_touched]
    )
    return {
        "overall": _rates_of(scored) | _named(touching),
        "tasks": {
            task: _rates_of([one for one in scored if one.task == task])
            | _named([one for one in touching if one.task == task])
            for task in tasks
        },
        "episodes": [
            {
                "task": one.task,
                "seed": one.seed,
                "color": one.color,
                "instruction": one.instruction,
                **asdict(one.outcome),
            }
            for one in scored
        ],
    }


def table(name: str, summary: dict[str, Any]) -> str:
    """The summary as lines of text."""
    lines = [f"{name:24} success   95 % interval   episodes  mean reward  mean time"]
    rows = {**summary["tasks"], "overall": summary["overall"]}
    for task, row in rows.items():
        low, high = row["interval"]
        lines.append(
            f"{task:24} {row['success_rate']:6.1%}   {low:5.1%} – {high:6.1%}"
            f"  {row['episodes']:8d}  {row['mean_reward']:11.2f}  {row['mean_time_s']:7.1f} s"
        )
    touched = named_block_line(summary["overall"])
    return "\n".join([*lines, touched] if touched else lines)


def named_block_line(row: dict[str, Any]) -> str:
    """How often the named block was the first one touched; empty when no block was."""
    if row["named_block_first"] is None:
        return ""
    low, high = row["named_block_first_interval"]
    return (
        f"the named block was the first one touched in {row['named_block_first']:.1%} "
        f"({low:.1%} – {high:.1%}) of the {row['touching_episodes']} episodes that touched one"
    )


def disturbance_table(summaries: dict[str, dict[str, Any]]) -> str:
    """Success rates by disturbance (rows) and task (columns), with the interval overall."""
    rows = {name or "none": summary for name, summary in summaries.items()}
    return "\n".join(_rates("disturbance", rows))


def robots_table(summaries: dict[str, dict[str, Any]]) -> str:
    """Success rates by robot file (rows) and task (columns), with the interval overall.

    The last column says whether a rate lies within the interval of the first row.
    """
    head, *lines = _rates("robot file", summaries)
    low, high = next(iter(summaries.values()))["overall"]["interval"]
    rates = [summary["overall"]["success_rate"] for summary in summaries.values()]
    # The interval's ends are rounded: 10 of 10 must lie within that of 10 of 10.
    inside = [low - _ROUNDING <= rate <= high + _ROUNDING for rate in rates[1:]]
    within = ["", *("yes" if one else "no" for one in inside)]
    marked = [
        f"{line:<{len(lines[0])}}  {word}".rstrip()
        for line, word in zip(lines, within, strict=True)
    ]
    return "\n".join([f"{head:<{len(lines[0])}}  within the first's", *marked])


def _rates(what: str, summaries: dict[str, dict[str, Any]]) -> list[str]:
    """A head and a line for each summary."""
    tasks = list(next(iter(summaries.values()))["tasks"])
    width = max(14, *(len(name) + 1 for name in summaries))
    lines = [f"{what:{width}}" + "".join(f"{task:>14}" for task in tasks) + "  overall"]
    for name, summary in summaries.items():
        rates = [summary["tasks"][task]["success_rate"] for task in tasks]
        low, high = summary["overall"]["interval"]
        lines.append(
            f"{name:{width}}"
            + "".join(f"{rate:>14.1%}" for rate in rates)
            + f"  {summary['overall']['success_rate']:.1%} ({low:.1%} – {high:.1%})"
        )
    return lines


def _rates_of(scored: Sequence[Scored]) -> dict[str, Any]:
    count = len(scored)
    successes = sum(one.outcome.success for one in scored)
    return {
        "success_rate": successes / count if count else 0.0,
        "interval": list(wilson_interval(successes, count)),
        "episodes": count,
        "mean_reward": sum(one.outcome.reward for one in scored) / count if count else 0.0,
        "mean_time_s": sum(one.outcome.time_s for one in scored) / count if count else 0.0,
    }


def _named(touching: Sequence[Scored]) -> dict[str, Any]:
    """How often the block that the words name was the first one touched."""
    named = sum(one.outcome.first_touched == one.color for one in touching)
    return {
        "named_block_first": named / len(touching) if touching else None,
        "named_block_first_interval": list(wilson_interval(named, len(touching))),
        "touching_episodes": len(touching),
    }
