"""Load a policy beside the executor: it takes seconds, and a lifecycle manager waits for five."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable

from vla_ros.datatypes import ActionChunk, ActionPrefix, Observation
from vla_ros.policy_protocol import Policy
from vla_ros.ros.params import VlaNodeParameters
from vla_ros.runtime import ThreadWorker, Worker, WorkerError

_REMEMBERED = 8


def load_in_process(parameters: VlaNodeParameters) -> Policy:
    """Load the checkpoint into this process: the only place of the node that imports torch."""
    from vla_ros.policy.vla_policy import VLAPolicy

    return VLAPolicy.load(
        parameters.checkpoint_dir,
        device=parameters.device,
        threads=parameters.threads,
        precision=parameters.precision,
    )


class LoadingWorker:
    """A `Worker` that is busy until its policy is loaded, and passes everything on from then.

    It also knows the pictures behind each plan, so that the age of what the arm acts on can be
    told.

    Attributes:
        error: Why loading failed; empty otherwise.
        cameras: Those that the loaded policy looks through.
        load_s: Time that loading took; `None` while it goes on.
    """

    def __init__(
        self,
        load: Callable[[], Policy],
        make_worker: Callable[[Policy], Worker] = ThreadWorker,
        on_loaded: Callable[[str], None] = lambda error: None,
    ) -> None:
        """Start loading.

        Args:
            load: Loads the policy; called in a thread.
            make_worker: Puts the policy to work.
            on_loaded: Called in that thread with the traceback of a failure, or empty.
        """
        self.error = ""
        self.cameras: tuple[str, ...] = ()
        self.load_s: float | None = None
        self._worker: Worker | None = None
        self._is_closed = False
        self._image_stamps_s: dict[float, float] = {}
        arguments = (load, make_worker, on_loaded)
        threading.Thread(target=self._load, args=arguments, name="vla-load", daemon=True).start()

    @property
    def is_ready(self) -> bool:
        """The policy is loaded."""
        return self._worker is not None

    def image_stamp_s(self, chunk_start_s: float) -> float | None:
        """Stamp of the oldest picture behind the chunk that starts at `chunk_start_s`."""
        return self._image_stamps_s.get(chunk_start_s)

    def request(
        self, observation: Observation, now_s: float, prefix: ActionPrefix | None = None
    ) -> bool:
        """Pass on; `False` while there is no policy."""
        if self._worker is None or not self._worker.request(observation, now_s, prefix):
            return False
        stamps_s = [frame.stamp_s for frame in observation.frames.values()]
        self._image_stamps_s[observation.stamp_s] = min(stamps_s, default=observation.stamp_s)
        if len(self._image_stamps_s) > _REMEMBERED:
            del self._image_stamps_s[next(iter(self._image_stamps_s))]
        return True

    def poll(self, now_s: float) -> ActionChunk | WorkerError | None:
        """Pass on; `None` while there is no policy."""
        return None if self._worker is None else self._worker.poll(now_s)

    def reset(self) -> None:
        """Pass on; a policy that is being loaded has nothing to forget."""
        if self._worker is not None:
            self._worker.reset()

    def close(self) -> None:
        """Pass on; a policy that is still being loaded is closed as soon as it is."""
        self._is_closed = True
        if self._worker is not None:
            self._worker.close()

    def _load(
        self,
        load: Callable[[], Policy],
        make_worker: Callable[[Policy], Worker],
        on_loaded: Callable[[str], None],
    ) -> None:
        started_s, text = time.perf_counter(), ""
        try:
            policy = load()
            self.cameras = tuple(camera.name for camera in policy.spec.cameras)
            self._worker = make_worker(policy)
            if self._is_closed:
                self._worker.close()
        except Exception as error:  # the edge of a thread
            text = traceback.format_exc()
            self.error = f"{type(error).__name__}: {error}"
        self.load_s = time.perf_counter() - started_s
        if not self._is_closed:
            on_loaded(text)
