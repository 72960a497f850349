"""Numbers on a command line: argparse refuses those out of range, and names the option."""

from __future__ import annotations

import argparse
import math


def positive_int(text: str) -> int:
    """A whole number from 1 on."""
    return _whole(text, 1)


def natural(text: str) -> int:
    """A whole number from 0 on."""
    return _whole(text, 0)


def positive(text: str) -> float:
    """A finite number above 0."""
    value = _finite(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"got {text}; valid: a number above 0")
    return value


def not_negative(text: str) -> float:
    """A finite number from 0 on."""
    value = _finite(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"got {text}; valid: 0 or a number above it")
    return value


def _whole(text: str, low: int) -> int:
    try:
        value = int(text)
    except ValueError:
        value = low - 1
    if value < low:
        raise argparse.ArgumentTypeError(f"got {text}; valid: a whole number from {low} on")
    return value


def _finite(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"got {text}; valid: a number")
    return value
