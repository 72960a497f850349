"""The `vla` command: one entry point, one lazily imported module per subcommand.

Each such module has `add_arguments(parser)` and `run(arguments) -> int`, the exit status.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol, cast

from vla_ros import __version__
from vla_ros.errors import VlaError
from vla_ros.huge_pages import use_huge_pages

EXIT_ERROR = 2
EXIT_INTERRUPTED = 130


class CommandModule(Protocol):
    """What a subcommand's module offers."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the subcommand's options."""

    def run(self, arguments: argparse.Namespace) -> int:
        """Do it; returns the exit status."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """A subcommand: the module that does it, and one line of help."""

    module: str
    summary: str


COMMANDS: Mapping[str, Command] = {
    "collect": Command(
        module="vla_ros.learn.collect", summary="record episodes of the scripted experts"
    ),
    "train": Command(module="vla_ros.learn.train", summary="train a policy on recorded episodes"),
    "evaluate": Command(
        module="vla_ros.learn.evaluate", summary="success rates of a policy over seeds"
    ),
    "ablate": Command(
        module="vla_ros.learn.ablate",
        summary="train variants of a policy and evaluate them on the same scenes",
    ),
    "serve": Command(
        module="vla_ros.policy.serve", summary="serve a checkpoint to robots over websockets"
    ),
    "demo": Command(
        module="vla_ros.demo", summary="the simulated arm obeys three instructions over ROS 2"
    ),
    "check": Command(
        module="vla_ros.ros.check.command",
        summary="hold robot file, checkpoint and the live graph against each other; nothing moves",
    ),
    "record": Command(
        module="vla_ros.ros.record",
        summary="write what somebody does with an arm as a dataset, from topics or bags",
    ),
    "replay": Command(
        module="vla_ros.ros.replay",
        summary="let a recorded run go through the node again and compare its commands",
    ),
    "bench loop": Command(
        module="vla_ros.bench.loop", summary="time one step of the control loop and its tick"
    ),
    "bench inference": Command(
        module="vla_ros.bench.inference",
        summary="time the network against the specification's model written plainly",
    ),
    "bench node": Command(
        module="vla_ros.bench.node",
        summary="time the node's ticks beside its policy, idle, busy and with a core taken",
    ),
    "bench chunks": Command(
        module="vla_ros.bench.chunks",
        summary="success and smoothness of each way to join chunks, by the policy's delay",
    ),
    "bench server": Command(
        module="vla_ros.bench.server",
        summary="time the policy server: its round trip, and many robots at once",
    ),
}

# How to get a module that is missing, where that is not `pip install <module>`.
_ROS_MODULES = ("rclpy", "ament_index_python", "builtin_interfaces", "rcl_interfaces")
_PIP_NAMES: Mapping[str, str] = {
    "cv2": "opencv-python-headless",
    "yaml": "pyyaml",
}


def run_process() -> int:
    """What the `vla` command and `python -m vla_ros` do, in a process that is theirs."""
    use_huge_pages()
    return main()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (`None`: this process's) and return the exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    name = _chosen(words)
    try:
        module = None if name is None else _load(name)
        arguments = _parser(name, module).parse_args(words)
        if module is None:  # `vla bench`: a group without its subcommand
            return EXIT_ERROR
        logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
        return module.run(arguments)
    except ModuleNotFoundError as error:
        return _fail(name, _how_to_install(error))
    except VlaError as error:
        return _fail(name, str(error))
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def _chosen(words: Sequence[str]) -> str | None:
    """The command that the first words name, `None` when they name none."""
    for length in (1, 2):
        name = " ".join(words[:length])
        if name in COMMANDS:
            return name
    return None


def _load(name: str) -> CommandModule:
    return cast(CommandModule, import_module(COMMANDS[name].module))


def _parser(chosen: str | None, module: CommandModule | None) -> argparse.ArgumentParser:
    """All commands with their help, and the options of the chosen one alone."""
    parser = argparse.ArgumentParser(
        prog="vla", description="Run a vision-language-action policy on a ROS 2 arm."
    )
    parser.add_argument("--version", action="version", version=f"vla_ros {__version__}")
    groups = {"": parser.add_subparsers(metavar="COMMAND", required=True)}
    for name, command in COMMANDS.items():
        group, _, word = name.rpartition(" ")
        if group not in groups:
            holder = groups[""].add_parser(group, help="measurements")
            groups[group] = holder.add_subparsers(metavar="COMMAND", required=True)
        subparser = groups[group].add_parser(word, help=command.summary)
        if name == chosen and module is not None:
            subparser.description = f"{command.summary[0].upper()}{command.summary[1:]}."
            module.add_arguments(subparser)
    return parser


def _how_to_install(error: ModuleNotFoundError) -> str:
    """What to install for the missing module; a module of our own is a bug and goes on up."""
    missing = (error.name or "").partition(".")[0]
    if missing in ("", "vla_ros"):
        raise error
    if missing in _ROS_MODULES or missing.endswith(("_msgs", "_srvs")):
        cure = (
            "source a ROS 2 install (source /opt/ros/<distro>/setup.bash) or, without one: "
            "pip install ros-jazzy-rclpy ros-jazzy-rmw-fastrtps-cpp ros-jazzy-common-interfaces"
        )
    else:
        cure = (
            f"pip install {_PIP_NAMES.get(missing, missing)} "
            "(requirements.txt has the version this is tested with)"
        )
    return f"Python module {missing!r} is missing from {sys.executable}. Install it: {cure}"


def _fail(name: str | None, message: str) -> int:
    sys.stderr.write(f"vla {name}: {message}\n")
    return EXIT_ERROR
