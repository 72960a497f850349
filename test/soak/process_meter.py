"""What a process holds: memory, file descriptors and threads, over time."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_SETTLED_AFTER = 0.25
"""Share of a run in which buffers fill and libraries are loaded; it is not counted."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One look."""

    time_s: float
    memory_mb: float
    descriptors: int
    threads: int


class ProcessMeter:
    """Looks at a process now and then."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.samples: list[Sample] = []

    def look(self, time_s: float) -> None:
        """Take a sample; call it when nothing is being started or ended."""
        status = Path(f"/proc/{self._pid}/status").read_text()
        self.samples.append(
            Sample(
                time_s=time_s,
                memory_mb=_number("VmRSS", status) / 1024,
                descriptors=len(os.listdir(f"/proc/{self._pid}/fd")),
                threads=_number("Threads", status),
            )
        )

    def growth_mb_h(self) -> float:
        """Memory growth by a straight line through the settled samples; NaN below three."""
        settled = self._settled()
        if len(settled) < 3:
            return float("nan")
        hours = np.array([sample.time_s for sample in settled]) / 3600
        return float(np.polyfit(hours, [sample.memory_mb for sample in settled], 1)[0])

    def gained(self, what: str) -> int:
        """How many more `descriptors` or `threads` the last settled samples show than the first."""
        counts = [getattr(sample, what) for sample in self._settled()]
        if len(counts) < 4:
            return 0
        quarter = max(1, len(counts) // 4)
        # The least of each: a fault that has just ended may still hold some.
        return min(counts[-quarter:]) - min(counts[:quarter])

    def _settled(self) -> list[Sample]:
        if not self.samples:
            return []
        begin_s, end_s = self.samples[0].time_s, self.samples[-1].time_s
        from_s = begin_s + _SETTLED_AFTER * (end_s - begin_s)
        return [sample for sample in self.samples if sample.time_s >= from_s]


def _number(name: str, status: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+)", status, re.MULTILINE)
    assert found is not None, status
    return int(found[1])
