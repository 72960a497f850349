"""Imports point one way: L0 <- model <- policy <- learn; L0 <- runtime, sim; everything <- ros.

The whole package is walked, imports inside functions too; the walk itself is tested on planted
wrong imports. What Python really loads is looked at in a fresh process.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "vla_ros"
# The top-level modules that are the ground for everything; the other top-level ones are on top.
GROUND = frozenset(
    {
        "__init__",
        "datatypes",
        "drawing",
        "durable",
        "errors",
        "huge_pages",
        "image",
        "inverse_kinematics",
        "kinematics",
        "option_ranges",
        "output_paths",
        "policy_protocol",
        "robot_check",
        "robot_config",
        "robot_lerobot",
        "robot_mirror",
        "robot_outputs",
        "robot_safety",
        "robot_server",
        "rotations",
        "share",
        "urdf",
    }
)
TOP = frozenset({"__main__", "bench", "cli", "demo"})
ROS_PACKAGES = frozenset({"rclpy", "ament_index_python", "builtin_interfaces", "std_srvs"})


@dataclass(frozen=True, kw_only=True)
class Layer:
    """What the modules of a layer may import besides Python's own modules and each other.

    Attributes:
        layers: Layers that it may import.
        inside_functions: Layers that only a function's body may import.
        third_party: Packages from elsewhere.
        ros: Whether it may import rclpy and message packages.
    """

    layers: frozenset[str] = frozenset()
    inside_functions: frozenset[str] = frozenset()
    third_party: frozenset[str] = frozenset()
    ros: bool = False


def names(text: str) -> frozenset[str]:
    return frozenset(text.split())


LAYERS = {
    "ground": Layer(third_party=names("numpy yaml jsonschema cv2 xacro")),
    "model": Layer(layers=names("ground"), third_party=names("numpy torch")),
    "policy": Layer(
        layers=names("ground model"),
        third_party=names("numpy safetensors msgpack websockets onnxruntime"),
    ),
    "runtime": Layer(layers=names("ground"), third_party=names("numpy ruckig")),
    "sim": Layer(layers=names("ground"), third_party=names("numpy mujoco mink gymnasium")),
    "learn": Layer(
        layers=names("ground model policy runtime sim"),
        inside_functions=names("ros"),
        third_party=names(
            "numpy torch yaml cv2 av pyarrow tqdm matplotlib jinja2 tensorboardX kornia"
        ),
    ),
    "ros": Layer(
        layers=names("ground model policy runtime sim learn"),
        third_party=names("numpy cv2 yaml mcap"),
        ros=True,
    ),
    "top": Layer(
        layers=names("ground model policy runtime sim learn ros"),
        third_party=names("numpy cv2 yaml av tqdm matplotlib websockets"),
    ),
}
# policy/ is read without torch (a checkpoint's spec, a robot's fit); these run the model.
RUNS_THE_MODEL = frozenset(
    {
        "vla_ros.policy.vla_policy",
        "vla_ros.policy.fast_path",
        "vla_ros.policy.bf16",
        "vla_ros.policy.int8",
        "vla_ros.policy.lerobot_policy",
        "vla_ros.policy.threads",
        "vla_ros.bench.inference",
        "vla_ros.bench.lerobot_act",
        "vla_ros.bench.plain_model",
    }
)

# Packages that single modules may import, whatever their layer.
RUNS_LEROBOT = frozenset({"vla_ros.policy.lerobot_policy", "vla_ros.bench.lerobot_act"})
RUN_BY = {"torch": RUNS_THE_MODEL, "lerobot": RUNS_LEROBOT}


@dataclass(frozen=True, kw_only=True)
class Import:
    """One import statement: the full module it names, its line, and whether a function holds it."""

    target: str
    line: int
    in_function: bool


def imports_of(source: str, module: str, is_package: bool) -> Iterator[Import]:
    """Every import of a module's source; `module` is its dotted name."""
    tree = ast.parse(source)
    held = {
        id(child)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.walk(function)
    }
    for node in ast.walk(tree):
        for target in _targets(node, module, is_package):
            yield Import(target=target, line=node.lineno, in_function=id(node) in held)


def _targets(node: ast.AST, module: str, is_package: bool) -> list[str]:
    """Full names that an import statement may load; `from a import b` may load `a.b`."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = _base(node, module, is_package)
        if base == "vla_ros":
            return [f"{base}.{alias.name}" for alias in node.names]
        return [base]
    return []


def _base(node: ast.ImportFrom, module: str, is_package: bool) -> str:
    if not node.level:
        return node.module or ""
    parents = module.split(".")[: None if is_package else -1]
    parents = parents[: len(parents) - node.level + 1]
    return ".".join([*parents, *([node.module] if node.module else [])])


def layer_of(module: str) -> str | None:
    """Layer of a dotted name inside vla_ros, `None` when the table has none."""
    name = module.split(".")[1] if "." in module else "__init__"
    if name in GROUND or name == "__version__":
        return "ground"
    return "top" if name in TOP else name if name in LAYERS else None


def problem(module: str, found: Import) -> str | None:
    """What is wrong with an import in `module`, `None` when nothing is."""
    own = layer_of(module)
    if own is None:
        return f"{module} belongs to no layer; add it to LAYERS, GROUND or TOP"
    layer = LAYERS[own]
    package = found.target.split(".")[0]
    if package == "vla_ros":
        allowed = layer.layers | {own} | (layer.inside_functions if found.in_function else set())
        is_fine = layer_of(found.target) in allowed
    elif package in ROS_PACKAGES or package.endswith(("_msgs", "_interfaces")):
        is_fine = layer.ros
    elif module in RUN_BY.get(package, ()):
        is_fine = True
    else:
        is_fine = package in layer.third_party or package in sys.stdlib_module_names
    return None if is_fine else f"{module}:{found.line}: {own} may not import {found.target}"


def problems_of(package: Path) -> list[str]:
    """All wrong imports below the folder of a package named vla_ros."""
    problems = []
    for path in sorted(package.rglob("*.py")):
        words = ("vla_ros", *path.relative_to(package).with_suffix("").parts)
        is_package = words[-1] == "__init__"
        module = ".".join(words[:-1] if is_package else words)
        imports = imports_of(path.read_text(), module, is_package)
        problems += [text for found in imports if (text := problem(module, found))]
    return problems


def test_imports_of_the_package_point_one_way():
    assert problems_of(PACKAGE) == []


def test_the_walk_sees_the_whole_package():
    assert len(list(PACKAGE.rglob("*.py"))) > 20
    folders = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert folders - TOP <= set(LAYERS)
    assert {"model", "policy", "runtime", "sim", "learn", "ros"} <= folders


@pytest.mark.parametrize(
    ("file", "statement", "complaint"),
    [
        ("datatypes.py", "import torch", "ground may not import torch"),
        (
            "image.py",
            "from vla_ros.sim.world import TabletopSim",
            "ground may not import vla_ros.sim",
        ),
        ("runtime/loop.py", "import torch.nn as nn", "runtime may not import torch.nn"),
        ("runtime/loop.py", "from vla_ros.policy import VLAPolicy", "runtime may not import"),
        ("runtime/loop.py", "from ..ros import convert", "runtime may not import vla_ros.ros"),
        ("runtime/__init__.py", "from ..model.vla import VLAModel", "may not import vla_ros.model"),
        ("runtime/loop.py", "from vla_ros import sim", "runtime may not import vla_ros.sim"),
        ("runtime/loop.py", "def f():\n    import rclpy", "runtime may not import rclpy"),
        ("sim/world.py", "from std_msgs.msg import String", "sim may not import std_msgs.msg"),
        ("model/vla.py", "from vla_ros.policy.check import check_fits", "model may not import"),
        ("policy/checkpoint.py", "import torch", "policy may not import torch"),
        ("policy/lerobot_fit.py", "import lerobot", "policy may not import lerobot"),
        (
            "learn/train.py",
            "from vla_ros.ros.session import run",
            "learn may not import vla_ros.ros",
        ),
        ("learn/train.py", "def f():\n    import rclpy", "learn may not import rclpy"),
        ("ros/vla_node.py", "import vla_ros.cli", "ros may not import vla_ros.cli"),
        ("demo/run.py", "import rclpy", "top may not import rclpy"),
        ("utils/misc.py", "import os", "vla_ros.utils.misc belongs to no layer"),
        ("learn/train.py", "import pandas", "learn may not import pandas"),
    ],
)
def test_a_planted_wrong_import_is_found(tmp_path, file, statement, complaint):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(statement + "\n")
    (found,) = problems_of(tmp_path)
    assert complaint in found


@pytest.mark.parametrize(
    ("file", "statement"),
    [
        ("runtime/loop.py", "from vla_ros import __version__"),
        ("runtime/loop.py", "from .safety import SafetyFilter"),
        ("runtime/__init__.py", "from .loop import ControlLoop"),
        ("policy/vla_policy.py", "import torch"),
        ("policy/lerobot_policy.py", "import lerobot.policies"),
        ("learn/evaluate.py", "def f():\n    from vla_ros.ros.session import run"),
        ("ros/vla_node.py", "import rclpy.lifecycle"),
        ("ros/sim_node.py", "from vla_ros.sim import world"),
        ("cli.py", "import argparse"),
    ],
)
def test_a_right_import_is_not_complained_about(tmp_path, file, statement):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(statement + "\n")
    assert problems_of(tmp_path) == []


def loaded_by(module: str) -> set[str]:
    """Top-level packages in sys.modules of a fresh Python that has imported `module`."""
    code = f"import sys, {module}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return set(result.stdout.split())


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("vla_ros.runtime", "torch rclpy mujoco"),
        ("vla_ros.sim.world", "torch rclpy"),
        ("vla_ros.policy.checkpoint", "torch rclpy mujoco"),
        ("vla_ros.policy.client", "torch rclpy mujoco"),
        ("vla_ros.policy.server_process", "torch rclpy mujoco"),
        ("vla_ros.policy.server", "torch rclpy mujoco"),
        ("vla_ros.ros.vla_node", "torch mujoco"),
        ("vla_ros.ros.sim_node", "torch"),
    ],
)
def test_what_a_module_does_not_load(module, absent):
    loaded = loaded_by(module)
    assert "numpy" in loaded
    assert not loaded & names(absent)
