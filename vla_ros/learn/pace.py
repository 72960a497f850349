"""How fast a training goes, and how much of its time it waits for data."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Pace:
    """Times the steps of one run.

    Args:
        samples: Samples seen before it.
        clock_s: Tells the time.
    """

    def __init__(self, samples: int = 0, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._data_s, self._clock_s = 0.0, clock_s
        self._first = self._last = (clock_s(), samples, 0.0)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Time spent in here is waiting for data."""
        begin_s = self._clock_s()
        yield
        self._data_s += self._clock_s() - begin_s

    def since_last(self, samples: int) -> dict[str, float]:
        """Samples a second and share of data since the last call.

        Args:
            samples: Samples seen by now.
        """
        before, self._last = self._last, (self._clock_s(), samples, self._data_s)
        return self._between(before)

    def whole(self, samples: int) -> str:
        """As `since_last`, of the whole run, in words."""
        self._last = (self._clock_s(), samples, self._data_s)
        pace = self._between(self._first)
        return (
            f"{pace['samples_per_s']:g} samples/s, "
            f"{100 * pace['data_share']:.1f} % of the time waiting for data"
        )

    def _between(self, before: tuple[float, int, float]) -> dict[str, float]:
        elapsed_s = max(self._last[0] - before[0], 1e-9)
        return {
            "samples_per_s": round((self._last[1] - before[1]) / elapsed_s, 1),
            "data_share": round((self._last[2] - before[2]) / elapsed_s, 4),
        }
