"""Which rows are drawn, and what the chunk after a row is."""

from __future__ import annotations

import colorsys
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vla_ros.errors import DatasetError
from vla_ros.learn.augment import (
    SHIFT_PX,
    color_transforms,
    drop_words,
    insert_words,
    jitter_colors,
    shift_pixels,
)
from vla_ros.learn.batches import Rows, balanced, split_episodes, with_words_of
from vla_ros.learn.dataset import Dataset
from vla_ros.learn.episode import EpisodeInfo
from vla_ros.learn.learner import lr_scale
from vla_ros.learn.wordings import Wordings
from vla_ros.model.tokenizer import CLS, PAD, UNK, Tokenizer
from vla_ros.robot_config import load_robot
from vla_ros.share import share_path

ROBOT = load_robot(share_path("config/panda.yaml"))


def episode(start: int, stop: int, task: str) -> EpisodeInfo:
    return EpisodeInfo(
        instruction=f"do {task}",
        task=task,
        color="",
        direction="",
        place="",
        seed=None,
        start=start,
        stop=stop,
    )


@pytest.fixture
def dataset() -> Dataset:
    """Two episodes of 6 and 4 rows; the action of row n is n hundredths in every joint.

    In the second one, the gripper is at the named object.
    """
    state = np.random.default_rng(0).normal(0, 0.1, (10, 8)).astype(np.float32)
    target_m = np.zeros((10, 3), np.float32)
    target_m[6:] = ROBOT.chain.forward(state[6:, :7].astype(np.float64))[:, :3, 3]
    number = np.arange(10, dtype=np.float32)[:, None] / 100
    pixels = np.arange(10, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 3), np.uint8)
    return Dataset(
        frames={"front": pixels},  # type: ignore[dict-item]
        state=state,
        action=np.repeat(number, 8, axis=1),
        target_m=target_m,
        target_uv=np.arange(20, dtype=np.float32).reshape(10, 1, 2) / 20,
        episodes=(episode(0, 6, "push"), episode(6, 10, "pick")),
        fps=20.0,
        robot="panda",
        state_names=ROBOT.action_names,
        action_names=ROBOT.action_names,
    )


@pytest.fixture
def rows(dataset: Dataset) -> Rows:
    return to_rows(dataset)


def to_rows(dataset: Dataset) -> Rows:
    tokenizer = Tokenizer.from_texts(["do push", "do pick"], 8)
    return Rows(dataset, ("front",), ROBOT.chain, tokenizer, horizon=4)


def test_a_chunk_is_what_follows_and_ends_with_its_episode(rows: Rows) -> None:
    picked = np.array([0, 4, 5, 8])
    normalizer = rows.fit_normalizer(np.arange(10))
    batch = rows.batch(picked, normalizer)
    state = np.zeros((4, 8)) + rows._state[picked]
    actions = normalizer.denormalize_chunk(batch.chunk, state)
    steps = [[0, 1, 2, 3], [4, 5, 5, 5], [5, 5, 5, 5], [8, 9, 9, 9]]
    np.testing.assert_allclose(actions[..., 0], np.array(steps) / 100, atol=1e-6)
    np.testing.assert_array_equal(batch.valid.sum(axis=1), [4, 2, 1, 2])
    np.testing.assert_array_equal(batch.pixels[:, 0, 0, 0, 0], picked)
    assert (batch.tokens[0] != batch.tokens[3]).any()


def test_held_out_scenes_are_whole_and_apart() -> None:
    episodes = [replace(episode(5 * i, 5 * i + 5, "push"), seed=i // 2) for i in range(2000)]
    train, held = split_episodes(episodes, 0.02)
    scenes = {row // 10 for row in held}
    assert 5 <= len(scenes) <= 40
    assert len(held) == 10 * len(scenes)
    assert sorted([*train, *held]) == list(range(10_000))


def test_what_was_held_out_stays_so_when_data_are_added() -> None:
    episodes = [replace(episode(5 * i, 5 * i + 5, "push"), seed=i) for i in range(500)]
    _, before = split_episodes(episodes[:300], 0.02)
    _, after = split_episodes(episodes, 0.02)
    assert set(before) == {row for row in after if row < 1500}


def test_one_episode_is_not_held_out_and_of_two_one_is() -> None:
    train, held = split_episodes([episode(0, 5, "push")], 0.02)
    assert (len(train), len(held)) == (5, 0)
    train, held = split_episodes([episode(0, 5, "push"), episode(5, 10, "push")], 0.02)
    assert (len(train), len(held)) == (5, 5)


def test_rows_afar_from_the_object_form_a_group_of_their_own(rows: Rows) -> None:
    assert rows.afar.tolist() == [True] * 6 + [False] * 4
    assert rows.tasks == ("pick", "push")
    assert rows.group.tolist() == [4] * 6 + [0] * 4


def test_a_chunk_that_no_episode_is_long_enough_for_is_refused(dataset: Dataset) -> None:
    tokenizer = Tokenizer.from_texts(["do push", "do pick"], 8)
    rows = Rows(dataset, ("front",), ROBOT.chain, tokenizer, horizon=7)
    with pytest.raises(DatasetError, match="no episode .* more than 6 rows, .* is to have 7"):
        rows.fit_normalizer(np.arange(10))


def test_where_no_object_is_known_a_few_rows_that_turn_are_not_drawn_often(
    dataset: Dataset,
) -> None:
    state, action = dataset.state.copy(), dataset.action.copy()
    action[:, :7] = state[:, :7]
    action[6, 6] += 0.3
    nowhere = np.full_like(dataset.target_m, np.nan)
    rows = to_rows(replace(dataset, state=state, action=action, target_m=nowhere))
    assert rows.group.tolist() == [3] * 6 + [0] * 4


def test_words_of_episodes_that_are_not_trained_on_are_not_known(dataset: Dataset) -> None:
    spoken = with_words_of(dataset, dataset.episodes[:1])
    assert [e.instruction for e in spoken.episodes] == [dataset.episodes[0].instruction] * 2
    assert [e.start for e in spoken.episodes] == [0, 6]


def test_rows_in_which_an_open_gripper_has_to_turn_form_another(dataset: Dataset) -> None:
    state, action = dataset.state.copy(), dataset.action.copy()
    action[:, :7] = state[:, :7]
    action[6:9, 7] = 1.0
    action[[6, 9], 6] += 0.3
    action[7, 6] += 0.1
    action[8, 6] -= 0.3
    rows = to_rows(replace(dataset, action=action))
    assert rows.group.tolist() == [4] * 6 + [2, 0, 2, 0]


def test_a_rare_task_is_drawn_as_often() -> None:
    rows, task = np.arange(100, 1100), np.array([0] * 990 + [1] * 10)
    drawn = balanced(rows, task, 4000, np.random.default_rng(0))
    assert 0.45 < (drawn >= 1090).mean() < 0.55
    assert set(drawn) <= set(rows)


@given(st.integers(0, 10_000))
def test_a_shift_moves_the_picture_by_a_few_pixels_and_what_it_shows_with_it(seed: int) -> None:
    picture = np.zeros((1, 20, 24, 3), np.uint8)
    picture[0, 7, 15] = 255  # its centre is 7.5 of 20 pixels down, 15.5 of 24 right
    shown = np.array([[15.5 / 12 - 1, 7.5 / 10 - 1]], np.float32)
    moved, places = shift_pixels(picture, shown, np.random.default_rng(seed))
    [[down, right]] = np.argwhere(moved[0, :, :, 0])
    assert max(abs(right - 15), abs(down - 7)) <= SHIFT_PX
    assert places == pytest.approx(np.array([[(right + 0.5) / 12 - 1, (down + 0.5) / 10 - 1]]))


def test_a_shift_brings_nothing_into_sight() -> None:
    pictures = np.zeros((40, 20, 24, 3), np.uint8)
    shown = np.tile(np.float32([[1.01, 0.0], [np.nan, np.nan]]), (20, 1))
    _, places = shift_pixels(pictures, shown, np.random.default_rng(0))
    np.testing.assert_array_equal(places, shown)


def test_colours_keep_their_names() -> None:
    """Red, orange and yellow are 25 degrees and more apart; none moves half of that."""
    pixels = np.array([[220, 40, 40], [230, 130, 30], [225, 210, 40], [130, 50, 180]], np.uint8)
    hues = [colorsys.rgb_to_hsv(*(color / 255))[0] * 360 for color in pixels]
    matrix, offset = color_transforms(500, torch.Generator().manual_seed(0))
    changed = matrix @ torch.from_numpy(pixels.T / 127.5 - 1).float() + offset
    changed = changed.clamp(-1, 1).transpose(1, 2).numpy() / 2 + 0.5
    for row in changed:
        for before, color in zip(hues, row, strict=True):
            after = colorsys.rgb_to_hsv(*color)[0] * 360
            assert abs((after - before + 180) % 360 - 180) < 12.5


def test_jitter_changes_each_picture_its_own_way_and_stays_in_range() -> None:
    pixels = torch.full((3, 2, 8, 8, 3), 128, dtype=torch.uint8)
    images = jitter_colors(pixels, torch.Generator().manual_seed(0))
    assert images.shape == (3, 2, 3, 8, 8)
    assert images.abs().max() <= 1
    means = images.mean(dim=(2, 3, 4)).flatten()
    assert len(means.unique()) == 6
    again = jitter_colors(pixels, torch.Generator().manual_seed(0))
    assert torch.equal(images, again)


def test_dropped_words_leave_the_rest_alone() -> None:
    tokens = np.array([[CLS, 5, 6, 7, PAD]] * 2000)
    dropped = drop_words(tokens, np.random.default_rng(0))
    changed = dropped != tokens
    assert (dropped[changed] == UNK).all()
    assert not changed[:, [0, 4]].any()
    assert 0.04 < changed[:, 1:4].mean() < 0.06


def test_the_learning_rate_rises_then_falls_to_zero() -> None:
    scales = [lr_scale(step / 1000, step, 100) for step in range(1001)]
    peak = int(np.argmax(scales))
    assert 90 < peak <= 100
    assert (np.diff(scales[:peak]) > 0).all()
    assert (np.diff(scales[peak:]) < 0).all()
    assert scales[0] < 0.02
    assert scales[-1] == pytest.approx(0)


def test_inserted_words_are_unknown_and_leave_the_others_in_order() -> None:
    tokens = np.array([[CLS, 5, 6, 7, PAD], [CLS, 8, PAD, PAD, PAD]] * 1000)
    longer = insert_words(tokens, np.random.default_rng(0))
    assert longer.shape == (2000, 6)
    chosen = (longer == UNK).any(axis=1)
    assert 0.22 < chosen.mean() < 0.28
    places = set()
    for before, after in zip(tokens.tolist(), longer.tolist(), strict=True):
        if UNK in after:
            places.add((before[1], after.index(UNK)))
            after.remove(UNK)
            assert after == before
        else:
            assert after == [*before, PAD]
    # Everywhere behind CLS, to the end of the words and no further.
    assert places == {(5, 1), (5, 2), (5, 3), (5, 4), (8, 1), (8, 2)}


def test_every_wording_is_drawn() -> None:
    texts = [("do first", "make first", "first please"), ("do second",)]
    vocabulary = ("<pad>", "<cls>", "<unk>", "do", "first", "make", "please", "second")
    tokenizer = Tokenizer(vocabulary, 8)
    wordings = Wordings(texts, tokenizer)
    drawn = wordings.draw(np.array([0] * 300 + [1] * 100), np.random.default_rng(0))
    heard = {" ".join(vocabulary[i] for i in row if i > CLS) for row in drawn[:300].tolist()}
    assert heard == set(texts[0])
    assert (drawn[300:] == [CLS, 3, 7]).all()
