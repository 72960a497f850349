"""What a soak found, whether it is in bounds, and how it is told."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

REAL_TIME_SLACK_S = 1.0
"""What a reaction in real time may take beyond its bound, because the machine may be busy."""
LOCK_S, MAX_LOCK_S = 0.95, 4.5
"""A wait of the node for a lock that a stopped process holds: 1 s a message, up to four of them."""
MAX_GROWTH_MB_H = 5.0
MEMORY_JUDGED_FROM_S = 600.0
"""Below this, a line through the memory's samples says nothing."""
RECOVER_WITHIN_S = 120.0


@dataclass(kw_only=True)
class Kind:
    """All faults of one kind.

    Attributes:
        injected: How often.
        bound_s: Longest reaction that is promised.
        reactions_s: From the fault to the status.
        recoveries_s: From the fault's end until the arm follows the policy again.
        missed: How often nothing, or something else, was told in time.
        overtaken: How often the node had latched another fault meanwhile, which is told first and
            has brought the arm to rest already.
        locks_s: How long the node waited for a lock of a stopped process, each time; the reaction
            of that time is told without.
    """

    bound_s: float
    injected: int = 0
    reactions_s: list[float] = field(default_factory=list)
    recoveries_s: list[float] = field(default_factory=list)
    missed: int = 0
    overtaken: int = 0
    locks_s: list[float] = field(default_factory=list)


@dataclass(kw_only=True)
class Report:
    """All that is told at the end."""

    seed: int
    duration_s: float = 0.0
    kinds: dict[str, Kind] = field(default_factory=dict)
    ticks: dict[str, int] = field(default_factory=dict)
    resets: int = 0
    memory_mb: tuple[float, float] = (0.0, 0.0)
    memory_growth_mb_h: float = float("nan")
    descriptors: tuple[int, int] = (0, 0)
    descriptors_gained: int = 0
    threads: tuple[int, int] = (0, 0)
    threads_gained: int = 0
    commands: int = 0
    travel_rad: float = 0.0
    exceeded: dict[str, int] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)
    exceptions: int = 0
    ended: str = ""

    @property
    def injected(self) -> int:
        """Faults in all."""
        return sum(kind.injected for kind in self.kinds.values())

    def problems(self) -> list[str]:
        """What is out of bounds; empty when the soak has passed."""
        late = {name: self._late(kind) for name, kind in self.kinds.items()}
        longest_s = self._longest_lock_s()
        checks = {
            self.ended: bool(self.ended),
            "no fault was injected": self.injected == 0,
            "the arm did not move: this run shows nothing": self.travel_rad < 0.1,
            f"memory grows by {self.memory_growth_mb_h:.1f} MB an hour": (
                self.duration_s >= MEMORY_JUDGED_FROM_S
                and not self.memory_growth_mb_h <= MAX_GROWTH_MB_H
            ),
            f"{self.descriptors_gained} more file descriptors": self.descriptors_gained > 0,
            f"{self.threads_gained} more threads": self.threads_gained > 0,
            f"{self.exceptions} unhandled exception(s), see the logs": self.exceptions > 0,
            f"a wait of {longest_s:.1f} s for a lock": longest_s > MAX_LOCK_S,
            f"limits exceeded: {'; '.join(self.examples)}": bool(self.exceeded),
        }
        found = [problem for problem, is_so in checks.items() if is_so]
        return found + [
            f"{name}: {count} reaction(s) too late" for name, count in late.items() if count
        ]

    def as_json(self) -> dict[str, object]:
        """Numbers and names only."""
        return asdict(self) | {"injected": self.injected, "problems": self.problems()}

    def summary(self) -> str:
        """For a person."""
        problems = self.problems()
        parts = [self._faults(), self._process(), *problems]
        return "\n".join([*parts, "FAILED" if problems else "passed"])

    def _longest_lock_s(self) -> float:
        return max((lock_s for kind in self.kinds.values() for lock_s in kind.locks_s), default=0.0)

    def _late(self, kind: Kind) -> int:
        bound_s = kind.bound_s + REAL_TIME_SLACK_S
        return kind.missed + sum(reaction_s > bound_s for reaction_s in kind.reactions_s)

    def _faults(self) -> str:
        columns = ("injected", "overtaken", "in bound", "bound", "longest", "resumed")
        head = f"{'fault':28}" + "".join(f"{column:>10}" for column in columns)
        rows = [
            f"{name:28}{kind.injected:10}{kind.overtaken:10}"
            f"{kind.injected - kind.overtaken - self._late(kind):10}{kind.bound_s:8.2f} s"
            f"{max(kind.reactions_s, default=float('nan')):8.2f} s"
            f"{max(kind.recoveries_s, default=float('nan')):8.1f} s"
            for name, kind in self.kinds.items()
            if kind.injected
        ]
        slack = f"A reaction may take {REAL_TIME_SLACK_S:g} s longer than its bound: real time."
        return "\n".join([f"seed {self.seed}, {self.duration_s:.0f} s", head, *rows, slack])

    def _process(self) -> str:
        judged = self.duration_s >= MEMORY_JUDGED_FROM_S
        note = "" if judged else f" (not judged below {MEMORY_JUDGED_FROM_S / 60:g} minutes)"
        ticks = ", ".join(f"{count} {status}" for status, count in sorted(self.ticks.items()))
        return (
            f"memory of vla_node   {self.memory_mb[0]:.1f} to {self.memory_mb[1]:.1f} MB, "
            f"{self.memory_growth_mb_h:+.1f} MB an hour{note}\n"
            f"file descriptors     {self.descriptors[0]} to {self.descriptors[1]}\n"
            f"threads              {self.threads[0]} to {self.threads[1]}\n"
            f"waits for a lock     {sum(len(kind.locks_s) for kind in self.kinds.values())}, "
            f"longest {self._longest_lock_s():.2f} s\n"
            f"unhandled exceptions {self.exceptions}\n"
            f"commands             {self.commands}, {self.travel_rad:.1f} rad of motion, "
            f"{sum(self.exceeded.values())} outside a limit\n"
            f"faults reset         {self.resets}\n"
            f"ticks                {ticks}"
        )
