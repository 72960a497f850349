"""Plans for whoever waits, in one thread: several observations that wait become one batch."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vla_ros.datatypes import ActionChunk, ActionPrefix, Observation

InferBatch = Callable[[Sequence[Observation], Sequence[ActionPrefix | None]], Sequence[ActionChunk]]
Outcome = ActionChunk | Exception


@dataclass(frozen=True, kw_only=True, eq=False)
class _Job:
    observation: Observation
    prefix: ActionPrefix | None
    future: asyncio.Future[ActionChunk]
    loop: asyncio.AbstractEventLoop


class Batcher:
    """One daemon thread that alone touches the policy; a hanging policy dies with the process."""

    def __init__(self, infer: InferBatch, max_batch: int) -> None:
        """Start the thread.

        Args:
            infer: Gives a chunk for each observation and its prefix; never called twice at a time.
            max_batch: How many observations it is given at most.
        """
        self._infer = infer
        self._max_batch = max_batch
        self._jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="vla-batches", daemon=True).start()

    async def plan(
        self, observation: Observation, prefix: ActionPrefix | None = None
    ) -> ActionChunk:
        """The chunk for `observation`; raises what the policy raises for it."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[ActionChunk] = loop.create_future()
        self._jobs.put(_Job(observation=observation, prefix=prefix, future=future, loop=loop))
        return await future

    def _run(self) -> None:
        while True:
            jobs = [self._jobs.get()]
            while len(jobs) < self._max_batch and not self._jobs.empty():
                jobs.append(self._jobs.get())
            outcomes = _plan_all(self._infer, jobs)
            for job, outcome in zip(jobs, outcomes, strict=True):
                if not job.loop.is_closed():
                    job.loop.call_soon_threadsafe(_settle, job.future, outcome)


def _plan_all(infer: InferBatch, jobs: Sequence[_Job]) -> list[Outcome]:
    """A chunk or an exception for each; one that fails does not spoil the others' batch."""
    try:
        chunks = list(infer([job.observation for job in jobs], [job.prefix for job in jobs]))
        if len(chunks) != len(jobs):
            raise ValueError(f"{len(chunks)} chunks for {len(jobs)} observations")
        return [*chunks]
    except Exception as error:  # the edge: a policy may raise anything
        if len(jobs) == 1:
            return [error]
    return [_plan_all(infer, [job])[0] for job in jobs]


def _settle(future: asyncio.Future[ActionChunk], outcome: Outcome) -> None:
    if future.done():  # the client's handler has ended
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
