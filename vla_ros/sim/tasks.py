"""The five tasks of the specification, their words, and what is set aside from training.

An episode asks for one task with one colour, direction or place. The same scene asks for other
motions under other words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vla_ros.errors import SceneError

TASKS = ("pick_object", "place_object", "push_object", "open_drawer", "close_drawer")
COLORS = ("red", "green", "blue", "yellow", "purple", "orange")
DIRECTIONS = ("left", "right", "front")
PLACES = ("tray", "left mark", "right mark", "front mark")
COMBINATIONS = ("seen", "heldout", "all")

# Verb and colour pairs that no training episode has. Purple is never pushed at all, neither is
# green; each colour is still seen under other verbs.
HELDOUT_PAIRS = frozenset(
    {
        ("pick_object", "orange"),
        ("pick_object", "blue"),
        ("place_object", "yellow"),
        ("place_object", "red"),
        ("push_object", "green"),
        ("push_object", "purple"),
    }
)

TEMPLATES = {
    "pick_object": (
        "pick up the {color} block",
        "lift the {color} block",
        "grab the {color} cube",
        "take the {color} block",
        "raise the {color} cube",
    ),
    "place_object": (
        "put the {color} block on the {place}",
        "place the {color} block on the {place}",
        "move the {color} cube to the {place} and let go",
        "set the {color} cube down on the {place}",
    ),
    "push_object": (
        "push the {color} block to the {direction} mark",
        "slide the {color} block to the {direction} mark",
        "push the {color} cube {direction}",
        "shove the {color} block to the {direction}",
    ),
    "open_drawer": (
        "open the drawer",
        "pull the drawer open",
        "slide the drawer out",
        "pull out the drawer",
    ),
    "close_drawer": (
        "close the drawer",
        "push the drawer shut",
        "shut the drawer",
        "slide the drawer in",
    ),
}

# Wordings that no training episode has.
HELDOUT_TEMPLATES = {
    "pick_object": ("please pick the {color} one up", "could you lift up the {color} block"),
    "place_object": (
        "the {color} block goes on the {place}",
        "please put the {color} cube onto the {place}",
    ),
    "push_object": (
        "please push the {color} one to the {direction}",
        "slide the {color} cube over to the {direction} mark",
    ),
    "open_drawer": ("please open up the drawer", "get the drawer open"),
    "close_drawer": ("please shut that drawer", "get the drawer closed"),
}


@dataclass(frozen=True, kw_only=True)
class Request:
    """What an episode asks for; parts that the task has no use for are empty."""

    task: str
    color: str = ""
    direction: str = ""
    place: str = ""


def check_task(task: str) -> str:
    """Return `task`.

    Raises:
        SceneError: There is no such task.
    """
    if task not in TASKS:
        raise SceneError(f"task {task!r} is unknown; valid: {', '.join(TASKS)}")
    return task


def draw_request(
    rng: np.random.Generator, task: str, colors: Sequence[str], combinations: str
) -> Request:
    """Draw what to ask for in a scene whose blocks have `colors`.

    Args:
        rng: Source of randomness.
        task: One of `TASKS`.
        colors: Colours on the table.
        combinations: `seen`, `heldout` or `all` pairs of verb and colour.

    Raises:
        SceneError: No colour on the table forms such a pair with the task.
    """
    direction = str(rng.choice(DIRECTIONS)) if task == "push_object" else ""
    place = str(rng.choice(PLACES)) if task == "place_object" else ""
    if task in ("open_drawer", "close_drawer"):
        return Request(task=task)
    allowed = [color for color in colors if is_allowed(task, color, combinations)]
    if not allowed:
        raise SceneError(f"no colour of {', '.join(colors)} is {combinations} with {task}")
    color = str(rng.choice(allowed))
    return Request(task=task, color=color, direction=direction, place=place)


def requests_for(rng: np.random.Generator, colors: Sequence[str]) -> list[Request]:
    """One request for each block on the table and one for the drawer, of pairs that are seen."""
    about_blocks = [
        draw_request(rng, str(rng.choice(_tasks_with(color))), [color], "seen") for color in colors
    ]
    return [*about_blocks, Request(task=str(rng.choice(["open_drawer", "close_drawer"])))]


def _tasks_with(color: str) -> list[str]:
    return [task for task in TASKS[:3] if is_allowed(task, color, "seen")]


def is_allowed(task: str, color: str, combinations: str) -> bool:
    """Whether a verb and colour pair belongs to `combinations`."""
    if combinations not in COMBINATIONS:
        raise SceneError(f"combinations {combinations!r}; valid: {', '.join(COMBINATIONS)}")
    heldout = (task, color) in HELDOUT_PAIRS
    return combinations == "all" or heldout == (combinations == "heldout")


def draw_template(rng: np.random.Generator, task: str, wordings: str) -> str:
    """Draw a template of a task's words.

    Raises:
        SceneError: `wordings` is neither `seen` nor `heldout`.
    """
    sources: Mapping[str, Mapping[str, tuple[str, ...]]] = {
        "seen": TEMPLATES,
        "heldout": HELDOUT_TEMPLATES,
    }
    if wordings not in sources:
        raise SceneError(f"wordings {wordings!r}; valid: {', '.join(sources)}")
    return str(rng.choice(sources[wordings][task]))


def write_instruction(request: Request, template: str) -> str:
    """Fill `{color}`, `{direction}` and `{place}` of a template.

    Raises:
        SceneError: The template names something else.
    """
    try:
        return template.format(
            color=request.color, direction=request.direction, place=request.place
        )
    except (KeyError, IndexError, ValueError) as error:
        raise SceneError(
            f"instruction {template!r} cannot be filled: {error}; "
            "valid names: {color}, {direction}, {place}"
        ) from error
