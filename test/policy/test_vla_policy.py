"""The policy as the control loop sees it."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from vla_ros.datatypes import ActionPrefix, Frame, Observation
from vla_ros.errors import CheckpointError, ImageError, InstructionError, ParameterError, StateError
from vla_ros.image import resize
from vla_ros.model.config import HEADS
from vla_ros.model.vision import to_input
from vla_ros.model.vla import VLAModel
from vla_ros.policy.checkpoint import (
    Checkpoint,
    read_checkpoint,
    read_weights,
    write_checkpoint,
)
from vla_ros.policy.features import state_features
from vla_ros.policy.vla_policy import VLAPolicy
from vla_ros.policy_protocol import AttentivePolicy, Policy


@pytest.fixture
def policy(folder: Path) -> VLAPolicy:
    return VLAPolicy.load(folder, device="cpu")


def with_joint(observation: Observation, joint: int, offset_rad: float) -> Observation:
    position = observation.state.position_rad.copy()
    position[joint] += offset_rad
    return replace(observation, state=replace(observation.state, position_rad=position))


def test_a_chunk_carries_the_observations_time_and_epoch(
    policy: Policy, observation: Observation
) -> None:
    chunk = policy.infer(observation)
    assert chunk.actions.shape == (4, 8)
    assert (chunk.start_s, chunk.step_s, chunk.epoch) == (10.0, 0.1, 4)
    np.testing.assert_allclose(chunk.due_s(), [10.1, 10.2, 10.3, 10.4])
    assert chunk.inference_s > 0


def test_the_chunk_is_the_models_in_absolute_targets(
    folder: Path, policy: VLAPolicy, observation: Observation
) -> None:
    """Every step from pixels to targets done again here by hand."""
    checkpoint, weights = read_checkpoint(folder), read_weights(folder)
    model = VLAModel(checkpoint.model).eval()
    model.load_state_dict({name: torch.tensor(value) for name, value in weights.items()})
    pictures = [
        resize(observation.frames[n].pixels, 32, 32, "letterbox") for n in ("front", "wrist")
    ]
    state = np.append(observation.state.position_rad, observation.state.gripper_open)
    features = checkpoint.normalizer.normalize_features(state_features(checkpoint.chain, state))
    tokens = torch.from_numpy(checkpoint.tokenizer.encode(observation.instruction))[None]
    with torch.no_grad():
        chunk = model(
            to_input(torch.from_numpy(np.stack(pictures)))[None],
            tokens,
            torch.from_numpy(features)[None],
        )[0].numpy()
    deviation, mean = checkpoint.normalizer.delta_std, checkpoint.normalizer.delta_mean
    joints = state[:7] + chunk[:, :7] * deviation + mean
    actions = policy.infer(observation).actions
    np.testing.assert_allclose(actions[:, :7], joints, atol=1e-5)
    np.testing.assert_allclose(actions[:, 7], np.clip((chunk[:, 7] + 1) / 2, 0, 1), atol=1e-5)


def test_the_same_observation_gives_the_same_chunk(
    folder: Path, policy: VLAPolicy, observation: Observation
) -> None:
    first = policy.infer(observation).actions
    policy.infer(replace(observation, instruction="open the drawer"))
    policy.reset()
    np.testing.assert_array_equal(policy.infer(observation).actions, first)
    again = VLAPolicy.load(folder, device="cpu")
    np.testing.assert_array_equal(again.infer(observation).actions, first)


def test_everything_observed_matters(policy: VLAPolicy, observation: Observation) -> None:
    changes = [
        replace(observation, instruction="open the drawer"),
        with_joint(observation, 0, 0.1),
        replace(observation, state=replace(observation.state, gripper_open=0.9)),
    ]
    for name, frame in observation.frames.items():
        other = Frame(pixels=255 - frame.pixels, stamp_s=frame.stamp_s)
        changes.append(replace(observation, frames={**observation.frames, name: other}))
    before = policy.infer(observation).actions
    for changed in changes:
        assert np.abs(policy.infer(changed).actions - before).max() > 1e-5


def test_the_gripper_stays_in_range_whatever_is_seen(
    policy: VLAPolicy, observation: Observation
) -> None:
    for joint in range(7):
        gripper = policy.infer(with_joint(observation, joint, 2.0)).actions[:, 7]
        assert ((gripper >= 0) & (gripper <= 1)).all()


def test_a_missing_camera_is_named(policy: VLAPolicy, observation: Observation) -> None:
    frames = {"front": observation.frames["front"]}
    with pytest.raises(ImageError, match="no frame of camera wrist .*; it has: front"):
        policy.infer(replace(observation, frames=frames))


def test_a_state_without_gripper_is_refused(policy: VLAPolicy, observation: Observation) -> None:
    state = replace(observation.state, gripper_open=None)
    with pytest.raises(StateError, match="7 joints and no gripper; the checkpoint needs: panda"):
        policy.infer(replace(observation, state=state))


def test_an_instruction_that_is_too_long_is_refused(
    policy: VLAPolicy, observation: Observation
) -> None:
    with pytest.raises(InstructionError, match="has 40 words, this policy takes at most 15"):
        policy.infer(replace(observation, instruction="red " * 40))


def test_many_instructions_do_not_fill_the_memory(
    policy: VLAPolicy, observation: Observation
) -> None:
    first = policy.infer(observation).actions
    for number in range(200):
        policy.infer(replace(observation, instruction=f"push {number}"))
    assert len(policy._texts) <= 64
    np.testing.assert_array_equal(policy.infer(observation).actions, first)


def test_weights_of_another_model_are_refused(
    checkpoint: Checkpoint, folder: Path, tmp_path: Path
) -> None:
    weights = dict(read_weights(folder))
    weights.pop("norm.weight")
    write_checkpoint(tmp_path / "other", checkpoint, weights)
    with pytest.raises(CheckpointError, match=r"not those of the model .*(?s:.)*norm.weight"):
        VLAPolicy.load(tmp_path / "other", device="cpu")


@contextmanager
def little_memory(more_bytes: int) -> Iterator[None]:
    """Let this process take only `more_bytes` more address space."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + more_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def test_sizes_that_the_weights_do_not_have_are_refused_before_memory_is_taken(
    folder: Path,
) -> None:
    path = folder / "config.json"
    data = json.loads(path.read_text())
    data["model"].update(width=8192, vision_blocks=4)  # 12 GB
    path.write_text(json.dumps(data))
    with (
        little_memory(2 << 30),
        pytest.raises(CheckpointError, match=r"head.0.bias is \(64,\), expected \(16384,\)"),
    ):
        VLAPolicy.load(folder, device="cpu")


@pytest.mark.parametrize("head", HEADS)
def test_either_head_can_be_written_and_read(
    checkpoint: Checkpoint, tmp_path: Path, observation: Observation, head: str
) -> None:
    other = replace(checkpoint, model=replace(checkpoint.model, action_head=head))
    weights = {name: value.numpy() for name, value in VLAModel(other.model).state_dict().items()}
    write_checkpoint(tmp_path, other, weights)
    chunk = VLAPolicy.load(tmp_path, device="cpu").infer(observation)
    assert np.isfinite(chunk.actions).all()


def test_an_unknown_device_lists_the_known(folder: Path) -> None:
    with pytest.raises(ParameterError, match="'tpu' is unknown; valid: auto, cpu, cuda"):
        VLAPolicy.load(folder, device="tpu")


def test_a_batch_gives_the_chunks_that_each_gets_alone(folder, observation):
    policy = VLAPolicy.load(folder, device="cpu")
    rng = np.random.default_rng(1)
    observations = []
    for text in ("push the red block", "open the drawer", "red", "push the red block"):
        frames = {
            name: replace(f, pixels=rng.integers(0, 256, f.pixels.shape, np.uint8))
            for name, f in observation.frames.items()
        }
        state = replace(observation.state, position_rad=rng.normal(size=7))
        observations.append(
            replace(observation, frames=frames, state=state, instruction=text, epoch=len(text))
        )
    chunks = policy.infer_batch(observations)
    assert len(chunks) == 4
    for chunk, asked in zip(chunks, observations, strict=True):
        assert chunk.actions == pytest.approx(policy.infer(asked).actions, abs=1e-5)
        assert (chunk.epoch, chunk.start_s) == (asked.epoch, asked.stamp_s)
    assert np.abs(chunks[0].actions - chunks[3].actions).max() > 1e-3, "pictures matter"


def test_it_tells_where_its_words_look(policy: VLAPolicy, observation: Observation) -> None:
    assert isinstance(policy, AttentivePolicy)
    grids = policy.attention(observation)
    # The tiny preset points at cells of 4 pixels.
    assert {name: grid.shape for name, grid in grids.items()} == dict.fromkeys(
        ("front", "wrist"), (8, 8)
    )
    for grid in grids.values():
        assert grid.sum() == pytest.approx(1)
    other = policy.attention(replace(observation, instruction="open the drawer"))
    assert np.abs(grids["front"] - other["front"]).max() > 1e-4
    dark = replace(observation.frames["front"], pixels=np.zeros((48, 64, 3), np.uint8))
    frames = {**observation.frames, "front": dark}
    changed = policy.attention(replace(observation, frames=frames))
    assert np.abs(grids["front"] - changed["front"]).max() > 1e-4


def written(checkpoint: Checkpoint, folder: Path, **sizes: object) -> VLAPolicy:
    """A policy of other sizes, with weights that matter."""
    torch.manual_seed(0)
    model = VLAModel(replace(checkpoint.model, **sizes)).requires_grad_(False)
    for parameter in model.parameters():
        parameter.normal_(std=0.2)
    weights = {name: value.numpy() for name, value in model.state_dict().items()}
    write_checkpoint(folder, replace(checkpoint, model=model.config), weights)
    return VLAPolicy.load(folder, device="cpu")


def running_plan(policy: Policy, observation: Observation, frozen: int) -> ActionPrefix:
    actions = policy.infer(observation).actions[:3] + 0.02
    return ActionPrefix(actions=actions, frozen=frozen)


@pytest.mark.parametrize(("head", "delay_steps"), [("mlp", 2), ("diffusion", 2), ("diffusion", 0)])
def test_a_chunk_begins_as_the_running_plan_goes_on(
    checkpoint: Checkpoint, tmp_path: Path, observation: Observation, head: str, delay_steps: int
) -> None:
    policy = written(checkpoint, tmp_path, action_head=head, rtc_delay_steps=delay_steps)
    assert policy.spec.prefix_steps == (delay_steps or policy.spec.horizon)
    prefix = running_plan(policy, observation, frozen=2)
    chunk = policy.infer(observation, prefix)
    kept = np.clip(prefix.actions[:2], [*[-np.inf] * 7, 0], [*[np.inf] * 7, 1])
    np.testing.assert_allclose(chunk.actions[:2], kept, atol=1e-6)
    alone = policy.infer(observation).actions
    assert np.abs(chunk.actions[2:] - alone[2:]).max() > 1e-6, "the rest knows of it"
    np.testing.assert_array_equal(policy.infer(observation, prefix).actions, chunk.actions)
    both = policy.infer_batch([observation] * 2, [prefix, None])
    np.testing.assert_allclose(both[0].actions, chunk.actions, atol=1e-5)
    np.testing.assert_allclose(both[1].actions, alone, atol=1e-5)


def test_more_frozen_steps_than_were_trained_are_cut(
    checkpoint: Checkpoint, tmp_path: Path, observation: Observation
) -> None:
    policy = written(checkpoint, tmp_path, rtc_delay_steps=1)
    prefix = running_plan(policy, observation, frozen=3)
    once = replace(prefix, actions=prefix.actions[:1], frozen=1)
    np.testing.assert_array_equal(
        policy.infer(observation, prefix).actions, policy.infer(observation, once).actions
    )


def test_one_that_takes_no_prefix_plans_as_if_there_were_none(
    policy: VLAPolicy, observation: Observation
) -> None:
    assert policy.spec.prefix_steps == 0
    prefix = running_plan(policy, observation, frozen=2)
    np.testing.assert_array_equal(
        policy.infer(observation, prefix).actions, policy.infer(observation).actions
    )


def test_a_checkpoint_of_before_the_prefix_is_read(folder: Path, observation: Observation) -> None:
    now = VLAPolicy.load(folder, device="cpu").infer(observation).actions
    path = folder / "config.json"
    data = json.loads(path.read_text())
    del data["model"]["rtc_delay_steps"]
    path.write_text(json.dumps(data))
    before = VLAPolicy.load(folder, device="cpu")
    assert before.checkpoint.model.rtc_delay_steps == before.spec.prefix_steps == 0
    np.testing.assert_array_equal(before.infer(observation).actions, now)
