"""Every error this package raises on purpose.

A message says what is wrong, what was got, what is valid and where to change it.
"""

from __future__ import annotations


class VlaError(Exception):
    """Base of all errors raised on purpose; catch it to catch any of them."""


class ProblemsError(VlaError):
    """Several problems found in one pass, reported together.

    Attributes:
        problems: One sentence per problem.
    """

    def __init__(self, where: str, problems: list[str]) -> None:
        self._where, self.problems = where, tuple(problems)
        lines = "\n".join(f"  - {problem}" for problem in problems)
        super().__init__(f"{where}: {len(problems)} problem(s)\n{lines}")

    def __reduce__(self) -> tuple[type[ProblemsError], tuple[str, list[str]]]:
        """What pickle makes it of again: processes that do a part of the work send it so."""
        return type(self), (self._where, list(self.problems))


class RobotFileError(ProblemsError):
    """A robot file that cannot be used; lists all its problems."""


class UrdfError(VlaError):
    """A URDF that cannot be read, or lacks a joint or link that is asked for."""


class ParameterError(ProblemsError):
    """ROS parameters or options that cannot be used."""


class CheckpointError(VlaError):
    """A checkpoint that is missing, corrupt, incomplete or made for another robot."""


class ImageError(VlaError):
    """An image message that cannot be decoded."""


class StateError(VlaError):
    """A joint state message that does not give every joint of the robot file."""


class InstructionError(VlaError):
    """An instruction that is too long or holds characters that are not text."""


class ActionError(VlaError):
    """An action chunk of a wrong shape, or with values that are not finite."""


class DatasetError(VlaError):
    """A dataset or episode that is broken, half-written or of another layout."""


class TrainingError(VlaError):
    """A training that cannot go on."""


class SceneError(VlaError):
    """A task, colour or option that the simulated scene does not have."""


class NodeError(VlaError):
    """A ROS node that ended, fell silent, or refused what it was asked."""


class MessageError(VlaError):
    """A message to or from a policy server that is not what the protocol allows."""


class PolicyServerError(VlaError):
    """A policy server that cannot be reached, went away or refuses the connection."""


class WorkerError(VlaError):
    """A process that did a part of the work died."""
