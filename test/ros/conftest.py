"""Real rclpy nodes, a small robot, and a client beside which a test starts a `VlaNode`."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rclpy
from rclpy.context import Context

from vla_ros.policy.checkpoint import Checkpoint, write_checkpoint
from vla_ros.policy.features import state_features
from vla_ros.policy.normalizer import Normalizer
from vla_ros.robot_config import RobotConfig, load_robot

os.environ.setdefault("AMENT_PREFIX_PATH", sys.prefix)

# For ros_fakes.py, which processes that tests start import too.
sys.path.insert(0, str(Path(__file__).parent))

# The first message type imports a parser that uses deprecated modules of Python's.
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import rosidl_generator_py  # noqa: F401

_HERE = Path(__file__).parent


@pytest.fixture
def robot_file(tmp_path: Path) -> Path:
    """Robot file of a small arm: three joints, a gripper, one camera."""
    from robot_three import ROBOT_YAML, three_urdf

    (tmp_path / "three.urdf").write_text(three_urdf())
    path = tmp_path / "three.yaml"
    path.write_text(ROBOT_YAML)
    return path


@pytest.fixture
def robot(robot_file: Path) -> RobotConfig:
    return load_robot(robot_file)


@pytest.fixture
def checkpoint_parts(robot: RobotConfig) -> Checkpoint:
    """All of a tiny checkpoint of the small arm but its weights."""
    from ros_fakes import SPEC

    from vla_ros.model.config import preset
    from vla_ros.model.tokenizer import SPECIAL, Tokenizer

    features = len(state_features(robot.chain, np.zeros(4)))
    vocabulary = (*SPECIAL, "sway", "left", "right")
    config = preset(
        "tiny",
        cameras=("front",),
        state_features=features,
        action_dim=4,
        horizon=SPEC.horizon,
        vocab_size=len(vocabulary),
    )
    normalizer = Normalizer(
        feature_mean=np.zeros(features),
        feature_std=np.ones(features),
        delta_mean=0.02 * np.arange(1, SPEC.horizon + 1)[:, None] * np.ones(3),
        delta_std=np.full((SPEC.horizon, 3), 0.05),
    )
    return Checkpoint(
        model=config,
        spec=SPEC,
        normalizer=normalizer,
        tokenizer=Tokenizer(vocabulary, config.max_len),
        chain=robot.chain,
    )


@pytest.fixture
def checkpoint(tmp_path: Path, checkpoint_parts: Checkpoint) -> Path:
    """A tiny network of the small arm, not trained."""
    torch = pytest.importorskip("torch")
    from vla_ros.model.vla import VLAModel

    torch.manual_seed(0)
    model = VLAModel(checkpoint_parts.model)
    weights = {name: value.numpy() for name, value in model.state_dict().items()}
    write_checkpoint(tmp_path / "checkpoint", checkpoint_parts, weights)
    return tmp_path / "checkpoint"


@pytest.fixture
def described_checkpoint(tmp_path: Path, checkpoint_parts: Checkpoint) -> Path:
    """A checkpoint that says what its policy is, for a policy that needs no weights."""
    folder = tmp_path / "described"
    write_checkpoint(folder, checkpoint_parts, {"none": np.zeros(1, np.float32)})
    return folder


@pytest.fixture
def context() -> Iterator[Context]:
    """A ROS context without signal handlers, shut down at the end."""
    context = Context()
    rclpy.init(context=context)
    yield context
    context.try_shutdown()
    # Its DDS participant goes with the last of the nodes, which hold each other: of 33 of a domain
    # in one process, Fast DDS finds some only.
    gc.collect()


@pytest.fixture
def spinner(context: Context):
    """Spins what a test adds to it."""
    from ros_bench import Spinner

    spinner = Spinner(context)
    yield spinner
    spinner.close()


@pytest.fixture
def bench(context: Context, spinner, robot_file: Path):
    """A client, beside which a test starts a `VlaNode`."""
    from ros_bench import Bench

    return Bench(context, spinner, robot_file)


@pytest.fixture
def start_process(robot_file: Path) -> Iterator:
    """Start `vla_process.py`, active at once."""
    processes = []

    def start(*arguments: str) -> subprocess.Popen:
        command = [sys.executable, str(_HERE / "vla_process.py"), *arguments, "--ros-args"]
        command += ["-p", f"robot_file:={robot_file}", "-p", "checkpoint:=none"]
        command += ["-p", "autostart:=true"]
        environment = {**os.environ, "PYTHONPATH": str(_HERE.parents[1])}
        processes.append(
            subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        )
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()
