"""Where commands go in shadow mode: nowhere. There is not even a publisher that could send one."""

from __future__ import annotations

from vla_ros.datatypes import Command


class ShadowSink:
    """Has the face of a `CommandSink`, and no connection to any driver."""

    takes_path = True

    def publish(self, *commands: Command) -> None:
        """Send nothing."""

    def hold(self) -> None:
        """Send nothing."""

    def pause(self) -> None:
        """Nothing is kept."""

    def forget(self) -> None:
        """Nothing is kept."""

    def reconnect(self) -> None:
        """Nothing is agreed."""

    def obstacle(self) -> str:
        """None: no driver is needed."""
        return ""

    def flush(self, timeout_s: float) -> None:
        """Nothing is under way."""

    def listeners(self) -> dict[str, int]:
        """No topic."""
        return {}

    def unconnected(self) -> set[str]:
        """No topic."""
        return set()

    def rivals(self) -> dict[str, list[str]]:
        """Whoever commands the arm is welcome."""
        return {}

    def close(self) -> None:
        """Nothing to disconnect."""
