"""What a checkpoint keeps, and what is refused, with the reason."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vla_ros.errors import CheckpointError
from vla_ros.policy.check import check_fits
from vla_ros.policy.checkpoint import (
    Checkpoint,
    read_checkpoint,
    read_spec,
    read_weights,
    write_checkpoint,
)
from vla_ros.policy_protocol import CameraSpec
from vla_ros.robot_config import RobotConfig


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change `config.json` in place."""
    path = folder / "config.json"
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def test_everything_travels(checkpoint: Checkpoint, folder: Path) -> None:
    found = read_checkpoint(folder)
    assert found.spec == checkpoint.spec
    assert found.model == checkpoint.model
    assert found.training == {"seed": 3}
    assert found.tokenizer.vocabulary == checkpoint.tokenizer.vocabulary
    for name, array in vars(checkpoint.normalizer).items():
        np.testing.assert_array_equal(getattr(found.normalizer, name), array)
    position = np.linspace(-1, 1, 7)
    np.testing.assert_array_equal(found.chain.forward(position), checkpoint.chain.forward(position))


def test_the_specification_is_read_without_torch(folder: Path) -> None:
    code = (
        "import sys; from vla_ros.policy.checkpoint import read_spec;"
        "from vla_ros.policy.check import check_fits;"
        f"print(read_spec({str(folder)!r}).robot); assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "panda\n"


@pytest.mark.fault(28)
def test_statistics_are_needed(folder: Path) -> None:
    edit(folder, lambda data: data.pop("normalization"))
    with pytest.raises(CheckpointError, match="no normalisation statistics"):
        read_spec(folder)


@pytest.mark.parametrize("name", ["feature_mean", "delta_std"])
def test_each_statistic_is_needed(folder: Path, name: str) -> None:
    edit(folder, lambda data: data["normalization"].pop(name))
    with pytest.raises(CheckpointError, match=name):
        read_spec(folder)


@pytest.mark.parametrize("key", ["model", "policy", "vocabulary", "kinematic_chain"])
def test_each_part_is_needed(folder: Path, key: str) -> None:
    edit(folder, lambda data: data.pop(key))
    with pytest.raises(CheckpointError, match=f"lacks: {key}"):
        read_spec(folder)


def test_another_format_version_is_refused(folder: Path) -> None:
    edit(folder, lambda data: data.update(format_version=99))
    with pytest.raises(CheckpointError, match="format version 99, this vla_ros reads 1"):
        read_spec(folder)


def test_a_missing_folder_says_what_a_checkpoint_is(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"config.json cannot be read: No such file.*train"):
        read_spec(tmp_path / "nowhere")


def test_broken_json_is_named(folder: Path) -> None:
    (folder / "config.json").write_text('{"format_version": 1,')
    with pytest.raises(CheckpointError, match=r"config.json is corrupt: .*line 1"):
        read_spec(folder)


def test_missing_weights_are_named(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"model.safetensors cannot be read: No such file"):
        read_weights(folder)


@pytest.mark.fault(28)
def test_a_flipped_bit_in_the_weights_is_found(folder: Path) -> None:
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1000] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model.safetensors is corrupt .* SHA-256"):
        read_weights(folder)


def test_truncated_weights_are_found(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="corrupt"):
        read_weights(folder)


def test_weights_of_another_checkpoint_are_found(
    checkpoint: Checkpoint, folder: Path, tmp_path: Path
) -> None:
    write_checkpoint(tmp_path / "other", checkpoint, {"a": np.ones(3)})
    (tmp_path / "other" / "config.json").replace(folder / "config.json")
    with pytest.raises(CheckpointError, match="corrupt or of another checkpoint"):
        read_weights(folder)


def double_step(data: dict[str, Any]) -> None:
    data["policy"]["horizon"] *= 2


def lose_camera(data: dict[str, Any]) -> None:
    data["policy"]["cameras"].pop()


def zero_deviation(data: dict[str, Any]) -> None:
    data["normalization"]["delta_std"][0][0] = 0.0


def infinite_mean(data: dict[str, Any]) -> None:
    data["normalization"]["feature_mean"][0] = float("inf")


def lose_word(data: dict[str, Any]) -> None:
    data["vocabulary"].pop()


def set_in(part: str, **values: Any) -> Callable[[dict[str, Any]], None]:
    """A change that sets `values` in a part of `config.json`."""
    return lambda data: data[part].update(values)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (double_step, "model.horizon is 4, expected 8"),
        (lose_camera, "model.cameras is"),
        (zero_deviation, "a standard deviation is not above 0"),
        (infinite_mean, "a normalisation statistic is not finite"),
        (lose_word, "model.vocab_size is 9, expected 8"),
        (set_in("policy", step_s=0.0), "policy.step_s is 0.0, expected a time above 0 s"),
        (set_in("policy", step_s=math.nan), "policy.step_s is nan"),
        (set_in("policy", horizon=math.inf), "OverflowError"),
        (set_in("model", horizon=10**9), "horizon is 1000000000, .* at most"),
        (set_in("model", width=10**6), "width is 1000000, .* at most"),
        (set_in("model", cameras=[str(i) for i in range(99)]), "there must be 1 to 16"),
        (set_in("kinematic_chain", axes=1.0), "not as `train` writes it"),
        (set_in("kinematic_chain", tip=[1.0]), r"shape of tip is \(1,\), expected \(4, 4\)"),
        (set_in("kinematic_chain", tip=[[math.nan] * 4] * 4), "kinematic chain is not finite"),
    ],
)
def test_parts_that_contradict_each_other_are_refused(
    folder: Path, change: Callable[[dict[str, Any]], None], reason: str
) -> None:
    edit(folder, change)
    with pytest.raises(CheckpointError, match=reason):
        read_spec(folder)


def test_writing_replaces_and_leaves_nothing_else(checkpoint: Checkpoint, folder: Path) -> None:
    (folder / ".model.safetensors.partial").write_bytes(b"left by one that was killed")
    write_checkpoint(folder, checkpoint, {"a": np.arange(3.0)})
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    np.testing.assert_array_equal(read_weights(folder)["a"], np.arange(3.0))


def test_fits_its_own_robot(checkpoint: Checkpoint, robot: RobotConfig) -> None:
    check_fits(checkpoint.spec, robot)


def test_what_is_read_fits_only_an_arm_of_the_same_kinematics(
    folder: Path, robot: RobotConfig
) -> None:
    spec = read_spec(folder)
    check_fits(spec, robot)
    origins, tip = robot.chain.origins.copy(), robot.chain.tip.copy()
    origins[2, 0, 3] += 0.05
    tip[2, 3] += 5e-5
    longer = replace(robot, chain=replace(robot.chain, origins=origins, tip=tip))
    with pytest.raises(CheckpointError, match=r"kinematics: panda_joint3 stand elsewhere"):
        check_fits(spec, longer)
    tip[2, 3] += 0.1
    with pytest.raises(CheckpointError, match=r"kinematics: panda_joint3, the tip stand"):
        check_fits(spec, longer)


@pytest.mark.parametrize(("step_s", "fits"), [(0.08, True), (0.075, False), (0.05, False)])
def test_a_chunk_must_be_longer_than_what_is_played_of_it(
    checkpoint: Checkpoint, robot: RobotConfig, step_s: float, fits: bool
) -> None:
    spec = replace(checkpoint.spec, step_s=step_s)
    if fits:
        check_fits(spec, robot)
        return
    with pytest.raises(CheckpointError, match=r"execute_s is 0.3 s, .*lower chunks.execute_s"):
        check_fits(spec, robot)


def test_all_mismatches_with_a_robot_are_told(checkpoint: Checkpoint, robot: RobotConfig) -> None:
    top = CameraSpec(name="top", height_px=32, width_px=32, resize="crop")
    spec = replace(
        checkpoint.spec,
        robot="ur5e",
        cameras=(*checkpoint.spec.cameras, top),
        state_names=("shoulder", "elbow"),
        action_names=checkpoint.spec.action_names[1::-1],
    )
    with pytest.raises(CheckpointError) as caught:
        check_fits(spec, robot)
    text = str(caught.value)
    assert "trained for 'ur5e', the file is of 'panda'" in text
    assert "looks through 'top', the robot file has: front, wrist" in text
    assert "state is shoulder, elbow; the robot file lists, in order: panda_joint1" in text
    assert "action is panda_joint2, panda_joint1;" in text
    assert "state is without a gripper" in text
    assert "panda.yaml" in text


def test_a_gripper_that_is_not_last_is_refused(checkpoint: Checkpoint, robot: RobotConfig) -> None:
    names = ("gripper", *robot.joints)
    with pytest.raises(CheckpointError, match="action: the gripper must come last"):
        check_fits(replace(checkpoint.spec, action_names=names), robot)
