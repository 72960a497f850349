"""Wordings that training hears: all that the scenes use, none that evaluation holds back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from vla_ros.errors import SceneError
from vla_ros.learn.episode import EpisodeInfo
from vla_ros.learn.wordings import read_templates, texts_of
from vla_ros.model.tokenizer import split_words
from vla_ros.share import share_path
from vla_ros.sim.tasks import HELDOUT_TEMPLATES, TEMPLATES

SHIPPED = share_path("config/train/wordings.yaml")
PUSH = EpisodeInfo(
    instruction="push the red cube left",
    task="push_object",
    color="red",
    direction="left",
    place="",
    seed=1,
    start=0,
    stop=5,
)


def words(templates: list[str]) -> set[frozenset[str]]:
    """Which words each has: another order or a "please" more does not make a new wording."""
    return {frozenset(split_words(text)) - {"please"} for text in templates}


def test_the_shipped_wordings_are_those_of_the_scenes_and_more() -> None:
    shipped = read_templates(SHIPPED)
    assert set(shipped) == set(TEMPLATES)
    for task, templates in shipped.items():
        assert len(templates) >= 15
        assert words(list(TEMPLATES[task])) < words(templates)


def test_no_wording_that_is_held_back_is_trained() -> None:
    shipped = read_templates(SHIPPED)
    for task, templates in HELDOUT_TEMPLATES.items():
        assert not words(list(templates)) & words(shipped[task])


def test_an_episode_has_all_wordings_of_its_task() -> None:
    texts = texts_of(PUSH, {"push_object": ["shove the {color} one {direction}", "push {color}"]})
    assert texts == ("shove the red one left", "push red")


def test_recorded_words_stay_where_no_template_fits(tmp_path: Path) -> None:
    templates = {"push_object": ["push it onto the {place}"]}
    assert texts_of(PUSH, templates) == ("push the red cube left",)
    assert texts_of(replace(PUSH, task="juggle"), templates) == ("push the red cube left",)
    with pytest.raises(SceneError, match="valid names: {color}"):
        texts_of(PUSH, {"push_object": ["push the {colour} one"]})
