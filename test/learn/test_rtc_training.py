"""Training with a simulated delay (`--rtc-delay-steps`): what is given, counts and is kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_data import TOY_OPTIONS, toy_dataset

from vla_ros.errors import CheckpointError, ParameterError
from vla_ros.learn.dataset import Dataset
from vla_ros.learn.objectives import delayed
from vla_ros.learn.task_errors import TaskErrors
from vla_ros.learn.training import Training
from vla_ros.model.vision import to_input
from vla_ros.policy.check import check_fits
from vla_ros.policy.checkpoint import read_checkpoint, read_weights
from vla_ros.robot_config import RobotConfig, load_robot


@pytest.fixture(scope="module")
def robot() -> RobotConfig:
    return load_robot(TOY_OPTIONS.robot_file)


@pytest.fixture(scope="module")
def dataset(robot: RobotConfig) -> Dataset:
    return toy_dataset(robot)


def begin(dataset: Dataset, robot: RobotConfig, out: Path, **changes: object) -> Training:
    out.mkdir(exist_ok=True)
    return Training(replace(TOY_OPTIONS, **changes), out, dataset, robot)


def test_every_delay_is_drawn_as_often_and_given_steps_do_not_count(
    dataset: Dataset, robot: RobotConfig, tmp_path: Path
) -> None:
    training = begin(dataset, robot, tmp_path, rtc_delay_steps=2)
    rows = np.repeat(training._train[:1], 3000)
    batch = training._rows.batch(rows, training._checkpoint.normalizer)
    batch.valid[:, 3] = False  # beyond the episode's end
    delay, counted = delayed(training._checkpoint.model, batch, torch.Generator().manual_seed(0))
    assert np.bincount(delay.numpy()) == pytest.approx([1000] * 3, rel=0.1)
    for steps in (0, 1, 2):
        valid = counted.valid[delay.numpy() == steps]
        assert (valid == [steps < 1, steps < 2, True, False]).all()
    assert batch.valid[:, :3].all(), "the batch itself is left alone"
    plain = replace(training._checkpoint.model, rtc_delay_steps=0)
    generator = torch.Generator().manual_seed(0)
    state = generator.get_state()
    assert delayed(plain, batch, generator) == (None, batch)
    assert torch.equal(generator.get_state(), state), "a training without draws nothing"


def test_the_loss_of_a_task_is_that_of_the_steps_that_count(
    dataset: Dataset, robot: RobotConfig, tmp_path: Path
) -> None:
    training = begin(dataset, robot, tmp_path, rtc_delay_steps=3)
    rows = training._train[:1].repeat(64)  # of one task
    batch = training._rows.batch(rows, training._checkpoint.normalizer)
    batch.valid[:, 1:] = False  # as of a moment: where its step is given, nothing counts
    images = to_input(torch.from_numpy(batch.pixels))
    errors = training.learner.learn(images, batch, 0.0, torch.Generator().manual_seed(0))
    gathered = TaskErrors(training._rows.tasks)
    gathered.add(batch, errors)
    (by_task,) = gathered.take().values()
    assert by_task == pytest.approx(errors.action, abs=1e-5)


@pytest.mark.parametrize("head", ["mlp", "diffusion"])
def test_the_checkpoint_says_that_its_policy_continues_plans(
    dataset: Dataset, robot: RobotConfig, tmp_path: Path, head: str
) -> None:
    training = begin(dataset, robot, tmp_path, head=head, rtc_delay_steps=2)
    for _ in range(2):
        training.step()
    training.save(finished=True)
    checkpoint = read_checkpoint(tmp_path)
    assert checkpoint.model.rtc_delay_steps == checkpoint.spec.prefix_steps == 2
    assert checkpoint.training["rtc_delay_steps"] == 2
    quick = replace(robot.chunks, join="rtc", execute_s=0.1)
    check_fits(checkpoint.spec, replace(robot, chunks=quick))


def test_one_that_does_not_is_refused_for_rtc(
    dataset: Dataset, robot: RobotConfig, tmp_path: Path
) -> None:
    training = begin(dataset, robot, tmp_path)
    quick = replace(robot.chunks, join="rtc", execute_s=0.1)
    with pytest.raises(CheckpointError, match="join is rtc.*trained with --rtc-delay-steps"):
        check_fits(training._checkpoint.spec, replace(robot, chunks=quick))


@pytest.mark.parametrize("head", ["mlp", "diffusion"])
def test_a_checkpoint_without_can_be_begun_with(
    dataset: Dataset, robot: RobotConfig, tmp_path: Path, head: str
) -> None:
    """It goes on as the policy that it was, which hears no prefix yet."""
    first = begin(dataset, robot, tmp_path / "first", head=head)
    first.step()
    first.save(finished=True)
    begun = {"init": tmp_path / "first", "head": head, "rtc_delay_steps": 2}
    second = begin(dataset, robot, tmp_path / "second", **begun)
    before, model = read_weights(tmp_path / "first"), second.learner.networks.model
    for name, value in model.state_dict().items():
        old = before[name]
        columns = old.shape[1] if old.ndim == 2 else None
        np.testing.assert_array_equal(value[:, :columns] if columns else value, old)
        assert columns is None or not value[:, columns:].any()
    second.step()
    second.save(finished=True)
    assert read_checkpoint(tmp_path / "second").spec.prefix_steps == 2
    third = {**begun, "init": tmp_path / "second", "rtc_delay_steps": 1}
    with pytest.raises(ParameterError, match="rtc_delay_steps is 2 in the checkpoint.*want 1"):
        begin(dataset, robot, tmp_path / "third", **third)


def test_more_steps_than_a_chunk_has_are_refused(
    dataset: Dataset, robot: RobotConfig, tmp_path: Path
) -> None:
    with pytest.raises(ParameterError, match="rtc_delay_steps is 4, .* from 0 to 3, less than the"):
        begin(dataset, robot, tmp_path, rtc_delay_steps=4)
    with pytest.raises(ParameterError, match="rtc_delay_steps is -1, it must be a whole number"):
        replace(TOY_OPTIONS, rtc_delay_steps=-1)
