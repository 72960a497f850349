"""Where the numbers of a training go: `metrics.jsonl`, and TensorBoard for those who want it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vla_ros.errors import ParameterError
from vla_ros.learn.curves import append_metrics, flatten

METRICS_FILE, TENSORBOARD_FOLDER = "metrics.jsonl", "tensorboard"


class MetricsLog:
    """Writes lines of numbers.

    Args:
        out: Folder of the training.
        tensorboard: Whether to write event files, too.

    Raises:
        ParameterError: TensorBoard is asked for and tensorboardX is not installed.
    """

    def __init__(self, out: Path, *, tensorboard: bool = False) -> None:
        self._out = out
        self._writer_class = _summary_writer() if tensorboard else None
        self._writer: Any = None

    def write(self, values: Mapping[str, Any]) -> None:
        """Add a line; `samples` tells where it belongs."""
        append_metrics(self._out / METRICS_FILE, values)
        if self._writer_class is None:
            return
        step = values["samples"]
        if self._writer is None:
            # What a killed run wrote beyond the state that was resumed is not shown.
            folder = str(self._out / TENSORBOARD_FOLDER)
            self._writer = self._writer_class(folder, purge_step=step)
        for name, number in flatten(values).items():
            self._writer.add_scalar(name, number, step)
        self._writer.flush()

    def close(self) -> None:
        """End the event file; the next line opens another."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _summary_writer() -> Any:
    # Here, not above: the package is an option.
    try:
        from tensorboardX import SummaryWriter
    except ModuleNotFoundError as error:
        problem = "--tensorboard needs tensorboardX: pip install tensorboardX tensorboard"
        raise ParameterError("train", [problem]) from error
    return SummaryWriter
