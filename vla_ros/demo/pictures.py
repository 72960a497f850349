"""The demo's film and contact sheet: what both cameras saw, from the image topics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from vla_ros.datatypes import ImageArray
from vla_ros.drawing import beside
from vla_ros.learn.film import write_contact_sheet, write_mp4
from vla_ros.ros.take import Shot, Take

_FPS = 20
_FILM_PX = 384
_STILLS = 5
_LAST_PICTURE_S = 1.0


def write_film(path: Path, takes: Sequence[Take]) -> None:
    """Write all takes as one MP4, both cameras side by side with a caption."""
    if any(take.shots for take in takes):
        write_mp4(path, (picture for take in takes for picture in _film(take)), _FPS)


def write_stills(path: Path, takes: Sequence[Take]) -> None:
    """Write a PNG with a row of pictures a take, evenly spread over its time."""
    rows = [(f"{take.instruction} - {_outcome(take)}", _stills(take)) for take in takes]
    seen = [row for row in rows if row[1]]
    if seen:
        write_contact_sheet(path, seen)


def _film(take: Take) -> Iterator[ImageArray]:
    for shot in take.shots:
        time_s = shot.stamp_s - take.began.stamp_s
        yield _picture(shot, [take.instruction, f"{time_s:4.1f} s  {shot.status}"])
    if take.shots:
        last = _picture(take.shots[-1], [take.instruction, _outcome(take)])
        yield from [last] * round(_LAST_PICTURE_S * _FPS)


def _picture(shot: Shot, lines: Sequence[str]) -> ImageArray:
    enlarged = [_enlarge(picture) for picture in shot.pictures.values()]
    return beside(enlarged, lines)


def _enlarge(picture: ImageArray) -> ImageArray:
    return np.asarray(cv2.resize(picture, (_FILM_PX, _FILM_PX), interpolation=cv2.INTER_CUBIC))


def _stills(take: Take) -> list[ImageArray]:
    if not take.shots:
        return []
    indices = np.linspace(0, len(take.shots) - 1, _STILLS).round().astype(int)
    return [np.hstack(list(take.shots[i].pictures.values())) for i in indices]


def _outcome(take: Take) -> str:
    return f"success after {take.time_s:.1f} s" if take.is_success else "failure"
