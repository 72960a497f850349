"""How long a plan takes from being asked for to being played, as measured."""

from __future__ import annotations

from collections import deque

_REMEMBERED = 10


class Delay:
    """The longest of the last delays: a plan that comes too late costs more than one too early.

    The first plan may have waited for a policy to warm up or a link to open, so its delay counts
    only as long as there is no other.
    """

    def __init__(self) -> None:
        self._first_s = 0.0
        self._is_first = True
        self._later_s: deque[float] = deque(maxlen=_REMEMBERED)

    def add(self, delay_s: float) -> None:
        """Note a measured delay."""
        if self._is_first:
            self._first_s, self._is_first = max(0.0, delay_s), False
        else:
            self._later_s.append(max(0.0, delay_s))

    @property
    def expected_s(self) -> float:
        """What to expect of the next plan; 0 before the first."""
        return max(self._later_s, default=self._first_s)
