"""Write what an episode looked like: an MP4, and a contact sheet of stills."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import av
import cv2
import numpy as np

from vla_ros.datatypes import ImageArray


def film_name(task: str, seed: int, success: bool) -> str:
    """File name of an episode's film."""
    return f"{task}_{seed}_{'success' if success else 'failure'}.mp4"


def write_mp4(path: Path, pictures: Iterable[ImageArray], fps: int) -> None:
    """Write pictures of one size, uint8 (H, W, 3) RGB with even H and W, as H.264."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "20"})
        stream.pix_fmt = "yuv420p"
        for index, picture in enumerate(pictures):
            if index == 0:
                stream.height, stream.width = picture.shape[:2]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def read_stills(path: Path, count: int) -> list[ImageArray]:
    """`count` pictures of a film, evenly spaced from the first to the last."""
    with av.open(str(path)) as container:
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return [pictures[i] for i in np.linspace(0, len(pictures) - 1, count).round().astype(int)]


def write_contact_sheet(path: Path, rows: Sequence[tuple[str, Sequence[ImageArray]]]) -> None:
    """Write a PNG with one titled row of equally large pictures an entry."""
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = max(len(pictures) for _, pictures in rows)
    strips = [strip for title, pictures in rows for strip in _row(title, pictures, columns)]
    sheet = np.vstack(strips)
    cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))


def _row(title: str, pictures: Sequence[ImageArray], columns: int) -> list[ImageArray]:
    strip = np.hstack(list(pictures) + [np.zeros_like(pictures[0])] * (columns - len(pictures)))
    banner = np.full((28, strip.shape[1], 3), 255, np.uint8)
    cv2.putText(banner, title, (6, 19), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (20, 20, 20), 1, cv2.LINE_AA)
    return [banner, strip]
