"""What a training must not destroy: a policy in its folder, and what it saved itself."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from toy_data import TOY_OPTIONS, toy_dataset

from vla_ros import cli
from vla_ros.errors import TrainingError
from vla_ros.learn.train import Limits, train
from vla_ros.learn.training import STATE_FILE, Training
from vla_ros.policy.checkpoint import CONFIG, WEIGHTS, read_weights
from vla_ros.robot_config import load_robot


def begin(out: Path, **changes: object) -> Training:
    robot = load_robot(TOY_OPTIONS.robot_file)
    return Training(replace(TOY_OPTIONS, **changes), out, toy_dataset(robot), robot)


def test_a_policy_without_its_training_is_not_overwritten(tmp_path: Path, capsys) -> None:
    begin(tmp_path).save(finished=True)
    (tmp_path / STATE_FILE).unlink()
    before = (tmp_path / WEIGHTS).read_bytes()
    for more in ([], ["--resume"]):
        assert cli.main(["train", "--data", "toy", "--out", str(tmp_path), *more]) == 2
        assert "holds a checkpoint, which would be overwritten" in capsys.readouterr().err
    assert (tmp_path / WEIGHTS).read_bytes() == before


def test_two_trainings_do_not_write_to_one_folder(tmp_path: Path, capsys) -> None:
    holder = "import sys, time; from pathlib import Path; from vla_ros.learn import folder_lock; "
    holder += "lock = folder_lock.lock_folder(Path(sys.argv[1]), '.training.lock'); "
    holder += "print('locked', flush=True); time.sleep(600)"
    command = ["train", "--data", str(tmp_path / "none"), "--out", str(tmp_path)]
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        assert cli.main(command) == 2
        assert f"another training is writing to {tmp_path}: wait" in capsys.readouterr().err
        other.kill()
    assert cli.main(command) == 2
    assert "another training" not in capsys.readouterr().err


def test_a_lock_that_cannot_be_written_is_named(tmp_path: Path, capsys) -> None:
    (tmp_path / ".training.lock").mkdir()
    assert cli.main(["train", "--data", str(tmp_path / "none"), "--out", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert f"{tmp_path / '.training.lock'}, which keeps other processes out, cannot be" in said


def test_a_first_save_that_is_cut_short_can_be_resumed(tmp_path: Path) -> None:
    training = begin(tmp_path)
    training.step()
    (tmp_path / CONFIG).mkdir()  # the save dies there
    with pytest.raises(TrainingError, match="cannot be written at .* samples: .*Is a directory"):
        training.save(finished=False)
    assert not list(tmp_path.glob(".*.[0-9]*")), "a partial file is left"
    (tmp_path / CONFIG).rmdir()
    again = begin(tmp_path)
    again.resume()
    assert again.learner.step == 1


def test_a_training_that_diverges_ends_and_leaves_what_it_saved(tmp_path: Path) -> None:
    training = begin(tmp_path, lr=1e8)  # 975,528 in the second step
    training.save(finished=False)
    with pytest.raises(TrainingError, match="step 2 has a loss of .*at learning rate 9"):
        train(training, Limits(minutes=None, save_every_minutes=0))
    assert all(np.isfinite(values).all() for values in read_weights(tmp_path).values())
    assert all(p.isfinite().all() for p in training.learner.networks.parameters())
