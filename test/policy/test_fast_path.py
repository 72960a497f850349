"""A faster way is used when it gives the same plan, and given up loudly when not."""

from __future__ import annotations

import logging
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from vla_ros.datatypes import Observation
from vla_ros.errors import ParameterError
from vla_ros.model.config import preset
from vla_ros.model.packed import MklLinear, PackedBlock, packed
from vla_ros.model.vla import VLAModel
from vla_ros.policy.fast_path import CheckedFuse, choose_fuse, plain_fuse
from vla_ros.policy.vla_policy import VLAPolicy

CPU = torch.device("cpu")


@pytest.fixture
def model(checkpoint) -> VLAModel:
    torch.manual_seed(0)
    return VLAModel(checkpoint.model).eval().requires_grad_(False)


@pytest.fixture
def inputs(model: VLAModel) -> tuple[Tensor, ...]:
    """Two rows, the second with fewer words."""
    torch.manual_seed(1)
    text = model.encode_text(torch.tensor([[1, 3, 4, 5], [1, 6, 0, 0]]))
    return torch.rand(2, 2, 3, 32, 32) * 2 - 1, *text, torch.randn(2, 17)


@pytest.mark.parametrize("with_mkl", [False, True])
def test_packed_blocks_give_the_same_numbers(model, inputs, with_mkl):
    if with_mkl and not torch.backends.mkl.is_available():
        pytest.skip("this build of torch has no MKL")
    twin = packed(model, with_mkl=with_mkl)
    assert with_mkl == any(isinstance(part, MklLinear) for part in twin.modules())
    assert any(isinstance(part, PackedBlock) for part in twin.vision_encoders.modules())
    assert not any(isinstance(part, PackedBlock) for part in model.modules())
    for rows in (slice(0, 1), slice(0, 2)):  # MKL is packed for one picture at a time
        part = [value[rows] for value in inputs]
        torch.testing.assert_close(plain_fuse(twin)(*part), plain_fuse(model)(*part))


def test_a_packed_model_shares_the_other_weights(model):
    twin = packed(model)
    assert twin.language_encoder.token_embed.weight is model.language_encoder.token_embed.weight


@pytest.mark.parametrize("changes", [{}, {"action_head": "diffusion"}, {"glimpse_px": 8}])
def test_int8_gives_nearly_the_same_condition_for_any_rows_and_words(changes, inputs):
    pytest.importorskip("onnxruntime")
    from vla_ros.policy.int8 import int8_fuse

    torch.manual_seed(0)
    sizes = {"cameras": ("front", "wrist"), "state_features": 17, "action_dim": 8}
    model = VLAModel(preset("tiny", **changes, **sizes)).eval().requires_grad_(False)
    fuse, plain = int8_fuse(model), plain_fuse(model)
    for rows in (slice(0, 1), slice(1, 2), slice(0, 2)):
        part = [value[rows] for value in inputs]
        wanted, got = plain(*part), fuse(*part)
        assert got.shape == wanted.shape
        assert torch.cosine_similarity(got.flatten(), wanted.flatten(), dim=0) > 0.995
        assert not torch.equal(got, wanted)  # it is another way, not the plain one again


def test_a_policy_in_int8_plans_nearly_the_same(folder: Path, observation: Observation):
    pytest.importorskip("onnxruntime")
    exact = VLAPolicy.load(folder, device="cpu").infer(observation)
    policy = VLAPolicy.load(folder, device="cpu", precision="int8")
    chunk = policy.infer(observation)
    np.testing.assert_allclose(chunk.actions, exact.actions, atol=0.1)
    np.testing.assert_array_equal(policy.infer(observation).actions, chunk.actions)
    assert policy.infer_batch([observation] * 2)[1].actions == pytest.approx(chunk.actions, abs=0.1)


@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a compiler on a CPU")
def test_bf16_is_compiled_once_for_texts_of_any_length():
    """On a CPU: what differs on CUDA is what torch.compile makes of it.

    In a process of its own: in one that had compiled, rclpy told of publishers 45 s late.
    """
    script = Path(__file__).with_name("compile_bf16.py")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert done.stdout == "alike\n", done.stderr


def test_a_fast_way_that_cannot_be_prepared_is_given_up_loudly(model, inputs, caplog):
    def fast(*values: Tensor) -> Tensor:
        raise RuntimeError("no compiler")

    checked = CheckedFuse(model, fast, plain_fuse(model), "bf16")
    checked.warm_up(*inputs)
    torch.testing.assert_close(checked(*inputs), plain_fuse(model)(*inputs))
    (record,) = caplog.records
    assert "'bf16' fails; plain PyTorch computes instead" in record.getMessage()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda condition: condition + 1, r"'exact' is off by .* limit 0.0001"),
        (lambda condition: condition * torch.nan, "is off by nan"),
        (lambda condition: condition[:, :3], "'exact' fails; plain PyTorch computes instead"),
    ],
)
def test_a_fast_way_that_differs_is_given_up_loudly(model, inputs, caplog, spoil, said):
    plain, calls = plain_fuse(model), []

    def fast(*values: Tensor) -> Tensor:
        calls.append(values)
        return spoil(plain(*values))

    checked = CheckedFuse(model, fast, plain, "exact")
    for _ in range(3):
        torch.testing.assert_close(checked(*inputs), plain(*inputs))
    assert len(calls) == 1
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert re.search(said, record.getMessage())


def test_a_fast_way_that_is_right_is_used_from_then_on(model, inputs, caplog):
    plain, slow = plain_fuse(model), []

    def counted(*values: Tensor) -> Tensor:
        slow.append(values)
        return plain(*values)

    checked = CheckedFuse(model, lambda *values: plain(*values) + 1e-7, counted, "exact")
    for _ in range(3):
        checked(*inputs)
    assert len(slow) == 1
    assert not caplog.records


def test_an_unknown_precision_or_a_wrong_device_is_refused(model):
    with pytest.raises(ParameterError, match="'half' is unknown; valid: exact, bf16, int8"):
        choose_fuse(model, CPU, "half")
    with pytest.raises(ParameterError, match="'int8' is for cpu, device is 'cuda'; use 'exact'"):
        choose_fuse(model, torch.device("cuda"), "int8")
    with pytest.raises(ParameterError, match="'bf16' is for cuda, device is 'cpu'; use 'exact'"):
        choose_fuse(model, CPU, "bf16")


def test_wide_models_are_packed_and_narrow_ones_are_not(model):
    sizes = {"cameras": ("front",), "state_features": 17, "action_dim": 8}
    wide = preset("tiny", width=512, heads=8, points=0, **sizes)
    assert isinstance(choose_fuse(VLAModel(wide).eval(), CPU, "exact"), CheckedFuse)
    assert not isinstance(choose_fuse(model, CPU, "exact"), CheckedFuse)
