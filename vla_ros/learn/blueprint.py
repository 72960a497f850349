"""What a dataset and the options ask a checkpoint to be, and what does not go together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from vla_ros.errors import DatasetError, ParameterError
from vla_ros.learn.dataset import Dataset
from vla_ros.learn.train_options import TrainOptions
from vla_ros.model.config import ModelConfig, preset
from vla_ros.model.sentence_tokenizer import SentenceTokenizer
from vla_ros.model.tokenizer import Tokenizer
from vla_ros.policy.checkpoint import Checkpoint
from vla_ros.policy.features import POSE_FEATURES
from vla_ros.policy_protocol import CameraSpec, PolicySpec
from vla_ros.robot_config import RobotConfig

# What may differ from the checkpoint to begin with, or is looked at apart; it has the chain where
# the spec has none yet.
_MAY_DIFFER = (
    "vocab_size",
    "object_words",
    "chain",
    "prefix_steps",
    "rtc_delay_steps",
    "glimpse_px",
)
_UNSIZED: dict[str, Any] = {"cameras": ("any",), "state_features": 1, "action_dim": 1}


def check_init(begun: Checkpoint, wanted: Checkpoint) -> None:
    """The checkpoint to begin with must be of the data's kind; its words may be fewer."""
    problems = [
        f"{what}.{key} is {found!r} in the checkpoint, the data and the options want {now!r}"
        for what in ("model", "spec")
        for key, now in vars(getattr(wanted, what)).items()
        if key not in _MAY_DIFFER and (found := getattr(getattr(begun, what), key)) != now
    ]
    for name in ("rtc_delay_steps", "glimpse_px"):
        found, now = getattr(begun.model, name), getattr(wanted.model, name)
        if found not in (0, now):
            problems.append(
                f"model.{name} is {found} in the checkpoint, the options want {now}; it can be "
                "begun with, not changed"
            )
    is_last = begun.model.action_head == "mlp" and not begun.model.rtc_delay_steps
    if begun.model.glimpse_px != wanted.model.glimpse_px and not is_last:
        problems.append(
            "model.glimpse_px can be begun with for an mlp head that was trained without a prefix: "
            "other decoders hear more after the glimpses"
        )
    if problems:
        raise ParameterError("train --init", problems)


def build_tokenizer(
    options: TrainOptions, texts: Iterable[str], begun: Checkpoint | None
) -> Tokenizer:
    """Knows the words of `texts`, after those of the checkpoint to begin with, if any."""
    longest = preset(options.preset, **_UNSIZED).max_len
    if options.text_encoder == "sentence":
        return SentenceTokenizer(longest)
    tokenizer = Tokenizer.from_texts(texts, longest)
    if begun is None:
        return tokenizer
    known = begun.tokenizer.vocabulary
    new = [word for word in tokenizer.vocabulary if word not in known]
    return Tokenizer((*known, *new), begun.tokenizer.max_len)


def _object_words(options: TrainOptions, tokenizer: Tokenizer) -> tuple[int, ...]:
    """Their ids.

    Raises:
        ParameterError: No text has one of them.
    """
    words = options.object_words or ()
    missing = [word for word in words if word not in tokenizer.vocabulary]
    if missing:
        problem = f"object_words: no instruction of the data has the words {', '.join(missing)}"
        raise ParameterError("train", [problem])
    return tuple(sorted(tokenizer.vocabulary.index(word) for word in words))


def model_config(options: TrainOptions, dataset: Dataset, tokenizer: Tokenizer) -> ModelConfig:
    """The preset, made to fit the data: pictures, words, state and action."""
    sizes = {name: frames.shape[1:3] for name, frames in dataset.frames.items()}
    if len(set(sizes.values())) != 1 or len(set(next(iter(sizes.values())))) != 1:
        raise DatasetError(f"the pictures must be square and of one size, got (H, W) {sizes}")
    horizon = {} if options.horizon is None else {"horizon": options.horizon}
    return preset(
        options.preset,
        cameras=tuple(dataset.frames),
        state_features=len(dataset.state_names) + POSE_FEATURES,
        action_dim=len(dataset.action_names),
        vocab_size=len(tokenizer.vocabulary),
        image_px=next(iter(sizes.values()))[0],
        glimpse_px=options.glimpse_px,
        action_head=options.head,
        text_encoder=options.text_encoder,
        task_embedding=_tasks(dataset) if options.task_embedding else (),
        object_words=_object_words(options, tokenizer),
        rtc_delay_steps=options.rtc_delay_steps,
        **horizon,
    )


def _tasks(dataset: Dataset) -> tuple[str, ...]:
    """Names of the data's tasks, as `Rows` numbers them."""
    tasks = tuple(sorted({episode.task for episode in dataset.episodes}))
    if "" in tasks:
        raise DatasetError("task_embedding: there are episodes whose task the dataset does not say")
    return tasks


def policy_spec(dataset: Dataset, config: ModelConfig, robot: RobotConfig) -> PolicySpec:
    """What the policy will need and give."""
    cameras = tuple(
        CameraSpec(
            name=name, height_px=config.image_px, width_px=config.image_px, resize="letterbox"
        )
        for name in config.cameras
    )
    return PolicySpec(
        robot=robot.robot,
        cameras=cameras,
        state_names=tuple(dataset.state_names),
        action_names=tuple(dataset.action_names),
        horizon=config.horizon,
        step_s=1 / dataset.fps,
        prefix_steps=config.prefix_steps,
    )


def check_robot(dataset: Dataset, robot: RobotConfig) -> None:
    """The kinematics of the robot file must be those of the data."""
    if dataset.robot and dataset.robot != robot.robot:
        raise DatasetError(
            f"the dataset was recorded with robot {dataset.robot!r}, robot file {robot.path} "
            f"describes {robot.robot!r}; choose another with --robot"
        )
    for what, names in (("states", dataset.state_names), ("actions", dataset.action_names)):
        if tuple(names) != robot.action_names:
            raise DatasetError(
                f"the dataset's {what} are {', '.join(names)}; robot file {robot.path} "
                f"lists: {', '.join(robot.action_names)}"
            )
