"""The demo's table and its verdict."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from vla_ros.ros.take import Take

# Far more than a holding arm sways, far less than any of the tasks needs.
MOVED_RAD = 0.05


def table(takes: Sequence[Take]) -> str:
    """One line a take: what was asked, how it went, how old the pictures were."""
    width = max(len("instruction"), *(len(take.instruction) for take in takes))
    ages = "image-to-command age"
    lines = [
        f"{'':{width}}  {'':12}  {'':7}  {'':6}  {ages}",
        f"{'instruction':{width}}  {'task':12}  success    time  median     max  joints moved",
    ]
    for take in takes:
        success = "yes" if take.is_success else "no"
        lines.append(
            f"{take.instruction:{width}}  {take.began.task:12}  {success:7}  {take.time_s:4.1f} s  "
            f"{_ages(take)}  {take.moved_rad:8.2f} rad"
        )
    factor = sum(take.real_time_factor for take in takes) / len(takes)
    lines.append(f"The simulation ran at {factor:.2f} of real time; all times are simulated ones.")
    return "\n".join(lines)


def verdict(takes: Sequence[Take]) -> str:
    """Why the demo failed, in words; empty when it did not."""
    furthest_rad = max(take.moved_rad for take in takes)
    if furthest_rad < MOVED_RAD:
        return (
            f"the arm did not move by the policy's doing: at most {furthest_rad:.3f} rad while "
            f"vla_node followed it, {MOVED_RAD:g} rad would count; vla_node.log tells why"
        )
    if not any(take.is_success for take in takes):
        texts = ", ".join(f'"{take.instruction}"' for take in takes)
        return f"the arm moved, but no instruction succeeded: {texts}"
    return ""


def _ages(take: Take) -> str:
    if not take.ages_ms:
        return f"{'-':>6}  {'-':>6}"
    return f"{median(take.ages_ms):3.0f} ms  {max(take.ages_ms):3.0f} ms"
