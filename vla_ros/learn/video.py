"""Write and read the mp4 files of a dataset, frame by frame, by exact index."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.frame import PictureType
from av.video.reformatter import VideoReformatter

from vla_ros.datatypes import ImageArray
from vla_ros.errors import DatasetError
from vla_ros.learn.dataset_format import PIXEL_FORMAT

# Full chroma: at 96 px, halved chroma (yuv420p) shifts the mean colour of a saturated 5-10 px
# block by 14 of 255 (34 at worst) and gives 32 dB whatever the quality; yuv444p at the same crf
# gives 45 dB and a shift of 1, in the same number of bytes.
_QUALITY = {"crf": "12", "preset": "veryfast"}
# No B-frames: pictures leave in the order they came. Any frame is at most 9 others away from a
# key frame, which keeps random access cheap. One thread: the pictures are small.
_STRUCTURE = {"g": "10", "bf": "0", "threads": "1", "forced-idr": "1"}


class VideoEncoder:
    """Writes frames to one mp4 file; frame k is shown at k / fps."""

    def __init__(self, path: Path, *, fps: int, height_px: int, width_px: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._time_base = Fraction(1, fps)
        self._container = av.open(str(path), "w", format="mp4")
        stream = self._container.add_stream("libx264", fps, options={**_QUALITY, **_STRUCTURE})
        stream.height, stream.width, stream.pix_fmt = height_px, width_px, PIXEL_FORMAT
        stream.time_base = self._time_base
        self._stream = stream
        self.frames = 0

    def add(self, frames: ImageArray) -> None:
        """Append `frames`, uint8 (N, H, W, 3) RGB; the first becomes a key frame."""
        for index, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame.pts, frame.time_base = self.frames, self._time_base
            self.frames += 1  # first: an interruption in between costs a gap, not a shift
            if index == 0:
                frame.pict_type = PictureType.I
            self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Finish the file and push it to the disk."""
        self._container.mux(self._stream.encode(None))
        self._container.close()
        with self._path.open("rb") as file:
            os.fsync(file.fileno())

    def abandon(self) -> None:
        """Close the file without finishing it."""
        self._container.close()


def read_video(path: Path, fps: float) -> Iterator[tuple[int, ImageArray]]:
    """Give the frames that can be read, each with its index `round(time * fps)`.

    After damaged data it goes on at the next key frame, so that only the damaged frames are
    missing.

    Raises:
        DatasetError: The file is missing or is no video.
    """
    try:
        container = av.open(str(path))
    except (av.error.FFmpegError, OSError) as error:
        raise DatasetError(f"video {path} cannot be opened: {error}") from error
    with container:
        if not container.streams.video:
            raise DatasetError(f"video {path} holds no video stream")
        stream = container.streams.video[0]
        # Without it the decoder would fill damaged places with guesses.
        stream.codec_context.options = {"err_detect": "explode"}
        stream.codec_context.thread_count = 1
        to_rgb = VideoReformatter()  # one for all: `frame.to_ndarray(format=…)` makes one a frame
        for frame in _decode(container, stream):
            if frame.time is not None and not frame.is_corrupt:
                pixels = to_rgb.reformat(frame, format="rgb24").to_ndarray()
                yield round(frame.time * fps), np.asarray(pixels, np.uint8)


def _decode(
    container: av.container.InputContainer, stream: av.VideoStream
) -> Iterator[av.VideoFrame]:
    damaged = False
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
            if damaged and not packet.is_keyframe:
                continue
            frames = packet.decode()
            damaged = False
        except StopIteration:
            return
        except av.error.FFmpegError:
            damaged = True
            stream.codec_context.flush_buffers()
            continue
        yield from frames
