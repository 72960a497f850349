"""Other words for what an episode asks.

An episode is recorded under one text; a network that hears no other clings to that one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from vla_ros.errors import SceneError
from vla_ros.learn.episode import EpisodeInfo
from vla_ros.model.tokenizer import Tokenizer, pad
from vla_ros.sim.tasks import Request, check_task, write_instruction

IntArray = NDArray[np.int64]
Texts = tuple[str, ...]


def read_templates(path: Path | None) -> dict[str, list[str]]:
    """Read a YAML file of task → list of texts; empty without a file.

    Raises:
        SceneError: The file cannot be read or is not of that form.
    """
    if path is None:
        return {}
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise SceneError(f"{path} cannot be read: {error}") from error
    if not isinstance(data, dict):
        raise SceneError(f"{path} must map tasks to lists of texts, got {type(data).__name__}")
    for task, texts in data.items():
        check_task(task)
        if not (isinstance(texts, list) and texts and all(isinstance(t, str) for t in texts)):
            raise SceneError(f"{path}, {task}: must be a list of texts, got {texts!r}")
    return data


def texts_of(episode: EpisodeInfo, templates: Mapping[str, Sequence[str]]) -> Texts:
    """All wordings of an episode: the templates of its task that name only what it has.

    Its recorded words alone when there are none.

    Raises:
        SceneError: A template names something that no episode has.
    """
    parts = {name: getattr(episode, name) for name in ("color", "direction", "place")}
    empty = [f"{{{name}}}" for name, value in parts.items() if not value]
    texts = [
        write_instruction(Request(task=episode.task, **parts), template)
        for template in templates.get(episode.task, ())
        if not any(name in template for name in empty)
    ]
    return tuple(texts) or (episode.instruction,)


class Wordings:
    """Token ids of every wording of every episode.

    Args:
        texts: The wordings of each episode, at least one.
        tokenizer: Knows their words.
    """

    def __init__(self, texts: Sequence[Texts], tokenizer: Tokenizer) -> None:
        distinct = sorted(set(texts))
        counts = np.array([len(choices) for choices in distinct])
        firsts = np.cumsum(counts) - counts
        number = {choices: index for index, choices in enumerate(distinct)}
        of_episode = np.array([number[choices] for choices in texts])
        self._tokens = pad([tokenizer.encode(text) for choices in distinct for text in choices])
        self._first, self._count = firsts[of_episode], counts[of_episode]

    def draw(self, episodes: IntArray, rng: np.random.Generator) -> IntArray:
        """A wording of each of `episodes` (B,) as token ids, padded, shape (B, L)."""
        tokens: IntArray = self._tokens[self._first[episodes] + rng.integers(self._count[episodes])]
        return tokens
