"""Work off jobs in several processes.

`concurrent.futures`, because a `multiprocessing.Pool` waits for ever for a process that was
killed, and starts one that cannot begin again and again.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from vla_ros.errors import WorkerError

J = TypeVar("J")
R = TypeVar("R")


def work_off(
    make: Callable[[], Callable[[J], R]], jobs: Sequence[J], processes: int
) -> Iterator[R]:
    """Yield what comes of each job, in their order.

    Args:
        make: Called once in every process; returns what does a job. Picklable, as the jobs are.
        jobs: What to do.
        processes: How many at once.

    Raises:
        WorkerError: A process died.
        Exception: Whatever `make`, or doing a job, raised.
    """
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(processes, context, _begin, (make,))
    try:
        yield from executor.map(_do, jobs)
    except BrokenProcessPool as error:
        raise WorkerError(
            "a process was killed, perhaps for want of memory; try again with --jobs 1"
        ) from error
    finally:
        executor.shutdown(cancel_futures=True)


_make: Callable[[], Callable[[Any], Any]]
_made: list[Callable[[Any], Any]] = []


def _begin(make: Callable[[], Callable[[Any], Any]]) -> None:
    global _make
    # A software renderer's own threads would only get into each other's way.
    os.environ.setdefault("LP_NUM_THREADS", "1")
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _make = make


def _end_with_parent() -> None:
    """Without this, the processes of a killed command go through all its jobs, unseen."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _do(job: Any) -> Any:
    if not _made:
        _made.append(_make())
    return _made[0](job)
