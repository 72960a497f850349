"""What one tick of the control loop tells its owner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vla_ros.datatypes import Command, Status


@dataclass(frozen=True, kw_only=True)
class Counters:
    """What happened since the loop was made.

    Attributes:
        overruns: Chunks that came later than `chunks.execute_s` after their observation.
        dropped_chunks: Chunks not played: bad, too late, or planned before a hold or new epoch.
        clamped: Targets or setpoints that had to be moved inside the limits.
        wild_chunks: Chunks that jump, or ask for what is far outside the limits or the box.
        ignored_inputs: Joint states and pictures of a wrong shape, not finite, or overtaken.
    """

    overruns: int
    dropped_chunks: int
    clamped: int
    wild_chunks: int
    ignored_inputs: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Tick:
    """One tick's outcome.

    Attributes:
        status: What the loop is doing.
        reason: Why it does not run, in words; empty while it runs.
        command: For the driver; `None` as long as nothing may be commanded.
        epoch: Rises on reset, new instruction, activation and clock jump.
        chunk_start_s: Stamp of the observation that the running chunk came from.
        inference_s: Time the policy took for it.
        ages_s: Age of each input that has arrived: `state`, and each camera by name.
        counters: Since the loop was made.
        stamp_s: Time of the tick.
    """

    status: Status
    reason: str
    command: Command | None
    epoch: int
    chunk_start_s: float | None
    inference_s: float | None
    ages_s: Mapping[str, float]
    counters: Counters
    stamp_s: float
