"""The plain model computes what ours computes; the measurement runs and writes its numbers."""

from __future__ import annotations

import argparse
import json

import pytest
import torch

from vla_ros.bench import inference
from vla_ros.errors import ParameterError
from vla_ros.model.config import preset
from vla_ros.model.tokenizer import PAD
from vla_ros.model.vla import VLAModel


def arguments(*words):
    parser = argparse.ArgumentParser()
    inference.add_arguments(parser)
    return parser.parse_args(words)


@pytest.mark.parametrize("fusion_layers", [1, 3])
def test_the_plain_model_computes_what_ours_does(fusion_layers):
    torch.manual_seed(0)
    config = preset(
        "tiny",
        cameras=("front", "wrist"),
        state_features=5,
        action_dim=3,
        points=0,
        fusion_layers=fusion_layers,
    )
    model = VLAModel(config).eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter.normal_(std=0.2)
    tokens = torch.tensor([[1, 4, 5, 6, PAD, PAD], [1, 7, PAD, PAD, PAD, PAD]])
    inputs = torch.rand(2, 2, 3, 32, 32), tokens, torch.randn(2, 5)
    wanted = inference.plain_twin(model)(*inputs)
    assert wanted.std() > 0.1
    torch.testing.assert_close(model(*inputs), wanted)


def test_it_prints_and_writes_the_ratios(tmp_path, capsys):
    files = {"--json": tmp_path / "inference.json", "--plot": tmp_path / "inference.png"}
    words = [str(word) for pair in files.items() for word in pair]
    assert inference.run(arguments("--preset", "tiny", "--rounds", "1", *words)) == 0
    report = json.loads(files["--json"].read_text())
    assert set(report["ratios"]) == {"plain", "exact", "int8"}
    assert report["ratios"]["plain"] == 1
    assert min(report["ratios"].values()) > 0
    assert report["int8_cosine"] > 0.99
    assert 0 < report["gemm_share"] < 1
    assert report["small_hz"] > 0
    assert 0 < report["largest_difference"] < 1e-4
    assert files["--plot"].read_bytes().startswith(b"\x89PNG")
    assert "of the machine's GEMM peak" in capsys.readouterr().out


def test_outputs_that_differ_are_noticed():
    plain = torch.tensor([0.0, 1.0, 0.0])
    ways = {"plain": lambda: plain, "exact": lambda: plain - 0.5, "int8": lambda: plain.roll(1)}
    assert inference.compare(ways) == {"largest_difference": 0.5, "int8_cosine": 0.0}


def test_rounds_that_make_no_sense_are_refused():
    with pytest.raises(ParameterError, match="--rounds: got 0; valid: from 1"):
        inference.run(arguments("--rounds", "0"))
