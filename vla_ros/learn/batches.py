"""Batches for behaviour cloning: pictures, words and state at a row, the chunk that follows it.

What a batch holds depends on the seed and its number alone, so a resumed training goes on with
the batches it would have seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vla_ros.datatypes import FloatArray, ImageArray
from vla_ros.errors import DatasetError, ParameterError
from vla_ros.kinematics import KinematicChain
from vla_ros.learn.augment import drop_words, insert_words, shift_pixels
from vla_ros.learn.dataset import Dataset
from vla_ros.learn.episode import EpisodeInfo
from vla_ros.learn.mirror import Mirror, RawRows, can_mirror, mirror_text
from vla_ros.learn.wordings import Texts, Wordings
from vla_ros.model.tokenizer import Tokenizer, pad, split_words
from vla_ros.policy.features import state_features
from vla_ros.policy.normalizer import Float32Array, Normalizer

IntArray = NDArray[np.int64]
AFAR_M = 0.1
# Near an object the gripper has mostly turned to it already: what it should do when it has not is
# in a row of two hundred.
TURN_RAD = 0.2
_IS_OPEN = 0.5
_SAID = ("instruction", "task", "color", "direction", "place")


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """B rows of a dataset.

    Attributes:
        pixels: uint8 (B, C, H, W, 3) RGB.
        tokens: int64 (B, L).
        state: Normalised features, shape (B, F).
        chunk: Normalised actions, shape (B, T, A); the last one repeats beyond the episode's end.
        valid: bool (B, T), false beyond the episode's end.
        target_m: Position of the named object, shape (B, 3); NaN where unknown.
        target_uv: Where each camera sees it, shape (B, C, 2), right and down, -1 to 1; NaN where
            unknown, beyond that range out of sight.
        task: Index of each row's task.
        instruction: Number of each row's instruction, the same for the same meaning, shape (B,).
    """

    pixels: ImageArray
    tokens: IntArray
    state: Float32Array
    chunk: Float32Array
    valid: NDArray[np.bool_]
    target_m: Float32Array
    target_uv: Float32Array
    task: IntArray
    instruction: IntArray


class Rows:
    """The rows of a dataset with what training needs beside the pictures.

    Args:
        dataset: Demonstrations.
        cameras: Cameras in the model's order.
        chain: Kinematics of the arm.
        tokenizer: For the instructions.
        horizon: Steps in a chunk.
        mirror: Mirrors half of what is drawn for training; `None` leaves all as it was recorded.
        texts: For training: the wordings of each episode; `None` for the recorded ones.
        augment: Whether pictures are shifted and words dropped and added in training.
    """

    def __init__(
        self,
        dataset: Dataset,
        cameras: Sequence[str],
        chain: KinematicChain,
        tokenizer: Tokenizer,
        horizon: int,
        mirror: Mirror | None = None,
        texts: Sequence[Texts] | None = None,
        *,
        augment: bool = True,
    ) -> None:
        self._chain, self._mirror, self._augment = chain, mirror, augment
        self._frames = [dataset.frames[name] for name in cameras]
        self._action, self._target_m = dataset.action, dataset.target_m
        order = [tuple(dataset.frames).index(name) for name in cameras]
        self._target_uv = dataset.target_uv[:, order]
        self._state: FloatArray = dataset.state.astype(np.float64)
        self._features = state_features(chain, self._state)
        self._joints, self._horizon = len(chain.axes), horizon
        self.tasks = tuple(sorted({episode.task for episode in dataset.episodes}))
        lengths = [episode.stop - episode.start for episode in dataset.episodes]
        self._stop = np.repeat([episode.stop for episode in dataset.episodes], lengths)
        self.task = np.repeat([self.tasks.index(e.task) for e in dataset.episodes], lengths)
        self._episode = np.repeat(np.arange(len(lengths)), lengths)
        self.afar, self._turns = self._is_afar(), self._has_to_turn()
        recorded = [(episode.instruction,) for episode in dataset.episodes]
        texts = recorded if texts is None else texts
        self._instruction = _numbers([choices[0] for choices in texts])
        self._wordings, self._longest = Wordings(texts, tokenizer), tokenizer.max_len
        self._has_unknown = tokenizer.has_unknown
        self._can_mirror = np.array([can_mirror(e.instruction) for e in dataset.episodes])
        self._tokens = pad([tokenizer.encode(e.instruction) for e in dataset.episodes])

    @property
    def group(self) -> IntArray:
        """What to balance over: task, and whether the gripper is afar or has yet to turn."""
        return 3 * self.task + np.where(self.afar, 1, np.where(self._turns, 2, 0))

    def _is_afar(self) -> NDArray[np.bool_]:
        """Whether the named object is further than `AFAR_M` from the gripper; false if unknown.

        Near it, the gripper's own pose tells where the object is; only from afar the words and
        the pictures have to.
        """
        joints = self._state.shape[1]
        tip_m = self._features[:, joints : joints + 3]
        with np.errstate(invalid="ignore"):
            return np.asarray(np.linalg.norm(tip_m - self._target_m, axis=1) > AFAR_M)

    def _has_to_turn(self) -> NDArray[np.bool_]:
        """Whether the next action turns an open gripper by more than `TURN_RAD`.

        False where no object is known to turn to: such rows can be few, and would be drawn often.
        """
        joints = self._state.shape[1]
        cos, sin = self._features[:, joints + 3], self._features[:, joints + 4]
        wanted = self._chain.forward(self._action[:, : self._joints].astype(np.float64))
        # the angle of what turns the one tool's x axis into the other's, both seen from above
        across = cos * wanted[:, 1, 0] - sin * wanted[:, 0, 0]
        along = cos * wanted[:, 0, 0] + sin * wanted[:, 1, 0]
        turns = np.abs(np.arctan2(across, along)) > TURN_RAD
        turns &= np.isfinite(self._target_m).all(axis=1)
        has_gripper = self._action.shape[1] > self._joints
        return np.asarray(turns & (self._action[:, -1] > _IS_OPEN) if has_gripper else turns)

    def fit_normalizer(self, rows: IntArray) -> Normalizer:
        """Statistics of `rows`.

        Raises:
            DatasetError: No episode reaches the last step of a chunk.
        """
        steps, valid = self._steps(rows)
        if not valid.any(axis=0).all():
            longest = int(valid.any(axis=0).sum())
            raise DatasetError(
                f"no episode to train on has more than {longest} rows, and a chunk is to have "
                f"{self._horizon}: what comes after is nowhere shown; lower --horizon, or record "
                "longer episodes"
            )
        joints = self._action[..., : self._joints].astype(np.float64)
        deltas = joints[steps] - self._state[rows, None, : self._joints]
        return Normalizer.fit(self._features[rows], deltas, valid)

    def target_statistics(self, rows: IntArray) -> tuple[Float32Array, Float32Array]:
        """Mean and standard deviation of the named objects' positions [m], each (3,)."""
        known = self._target_m[rows]
        known = known[np.isfinite(known).all(axis=1)].astype(np.float64)
        if not len(known):
            return np.zeros(3, np.float32), np.ones(3, np.float32)
        std = np.maximum(known.std(axis=0), 0.01)
        return known.mean(axis=0).astype(np.float32), std.astype(np.float32)

    def batch(
        self, rows: IntArray, normalizer: Normalizer, rng: np.random.Generator | None = None
    ) -> Batch:
        """Gather `rows`; with `rng` as for training, changed in the ways that were asked for."""
        raw, valid = self._gather(rows, rng)
        tokens = raw.tokens if rng is None else self._reword(rows, rng)
        features, instruction = self._features[rows], self._instruction[self._episode[rows], 0]
        if rng is not None and self._mirror is not None:
            chosen = self._can_mirror[self._episode[rows]] & (rng.random(len(rows)) < 0.5)
            raw = self._mirror.reflect(replace(raw, tokens=tokens), chosen)
            tokens, features = raw.tokens, state_features(self._chain, raw.state)
            mirrored = self._instruction[self._episode[rows], 1]
            instruction = np.where(chosen, mirrored, instruction)
        return Batch(
            pixels=raw.pixels,
            tokens=tokens,
            state=normalizer.normalize_features(features),
            chunk=normalizer.normalize_chunk(raw.actions, raw.state),
            valid=valid,
            target_m=raw.target_m,
            target_uv=raw.target_uv,
            task=self.task[rows],
            instruction=instruction,
        )

    def _gather(
        self, rows: IntArray, rng: np.random.Generator | None
    ) -> tuple[RawRows, NDArray[np.bool_]]:
        """What was recorded, and which steps lie inside the episode."""
        steps, valid = self._steps(rows)
        seen = [self._seen(camera, rows, rng) for camera in range(len(self._frames))]
        raw = RawRows(
            pixels=np.stack([pixels for pixels, _ in seen], axis=1),
            tokens=self._tokens[self._episode[rows]],
            state=self._state[rows],
            actions=self._action[steps].astype(np.float64),
            target_m=self._target_m[rows],
            target_uv=np.stack([place for _, place in seen], axis=1),
        )
        return raw, valid

    def _reword(self, rows: IntArray, rng: np.random.Generator) -> IntArray:
        """Other words of the same meaning, some of them unknown."""
        tokens = self._wordings.draw(self._episode[rows], rng)
        if not (self._augment and self._has_unknown):
            return tokens
        tokens = drop_words(tokens, rng)
        return insert_words(tokens, rng) if tokens.shape[1] < self._longest else tokens

    def _seen(
        self, camera: int, rows: IntArray, rng: np.random.Generator | None
    ) -> tuple[ImageArray, Float32Array]:
        """Pictures of a camera, and where they show the named object."""
        frames, target_uv = self._frames[camera], self._target_uv[rows, camera]
        pixels = np.stack([frames[row] for row in rows])
        if rng is None or not self._augment:
            return pixels, target_uv
        return shift_pixels(pixels, target_uv, rng)

    def _steps(self, rows: IntArray) -> tuple[IntArray, NDArray[np.bool_]]:
        """Rows of the chunk's actions (B, T), and whether they lie inside the episode."""
        steps = rows[:, None] + np.arange(self._horizon)
        stop = self._stop[rows, None]
        return np.minimum(steps, stop - 1), steps < stop


def _numbers(texts: Sequence[str]) -> IntArray:
    """A number for the words of each text, and for its mirrored words, shape (N, 2)."""
    pairs = [(" ".join(split_words(text)), mirror_text(text)) for text in texts]
    numbers = {text: number for number, text in enumerate(sorted({t for p in pairs for t in p}))}
    return np.array([[numbers[text] for text in pair] for pair in pairs], np.int64)


def split_episodes(episodes: Sequence[EpisodeInfo], share: float) -> tuple[IntArray, IntArray]:
    """Rows to train on and rows to validate on; whole scenes are held out.

    Each scene is drawn for itself, and the same in every training, so that what was held out stays
    so when data are added and when a training begins with the weights of another; not the one that
    is held out of so few that no draw is below `share`.

    Args:
        episodes: Where the rows lie; those of one seed show one scene.
        share: Part of the scenes held out in [0, 1); at least one when there are two or more.
    """
    scenes = [index if e.seed is None else e.seed for index, e in enumerate(episodes)]
    draws = {scene: np.random.default_rng([0, scene]).random() for scene in set(scenes)}
    limit = max(share, min(draws.values(), default=0.0)) if len(draws) > 1 else -1.0
    held = [draws[scene] <= limit for scene in scenes]
    train = [e for e, out in zip(episodes, held, strict=True) if not out]
    validation = [e for e, out in zip(episodes, held, strict=True) if out]
    return _rows(train), _rows(validation)


def of_tasks(
    episodes: Sequence[EpisodeInfo], tasks: Sequence[str] | None
) -> tuple[EpisodeInfo, ...]:
    """Episodes of these kinds of task; of all when none is named.

    Raises:
        ParameterError: There are none of one of them.
    """
    if not tasks:
        return tuple(episodes)
    known = sorted({episode.task for episode in episodes})
    if missing := [task for task in tasks if task not in known]:
        problem = f"tasks: the data has no {', '.join(missing)}; it has {', '.join(known)}"
        raise ParameterError("train", [problem])
    return tuple(episode for episode in episodes if episode.task in tasks)


def with_words_of(dataset: Dataset, episodes: Sequence[EpisodeInfo]) -> Dataset:
    """The dataset with the words of `episodes`, at least one, alone: no others are learned.

    The other episodes, which are never drawn, say what the first of these says.
    """
    drawn = {episode.start for episode in episodes}
    said = {field: getattr(episodes[0], field) for field in _SAID}
    others = (e if e.start in drawn else replace(e, **said) for e in dataset.episodes)
    return replace(dataset, episodes=tuple(others))


def _rows(episodes: Sequence[EpisodeInfo]) -> IntArray:
    ranges = [np.arange(episode.start, episode.stop) for episode in episodes]
    return np.concatenate(ranges) if ranges else np.zeros(0, np.int64)


def balanced(rows: IntArray, group: IntArray, size: int, rng: np.random.Generator) -> IntArray:
    """Draw `size` of `rows`, every group as often as the others.

    Args:
        rows: Rows to draw from, shape (N,).
        group: Group of each of them, shape (N,).
        size: Number of rows to draw, with replacement.
        rng: Draws.
    """
    groups = [rows[group == index] for index in np.unique(group)]
    pick = rng.integers(len(groups), size=size)
    return np.array([groups[i][rng.integers(len(groups[i]))] for i in pick], np.int64)
