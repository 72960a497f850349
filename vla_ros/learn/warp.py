"""Move, crop, turn and blur training pictures, a batch at a time, by kornia.

A fixed camera that is turned, moved or zoomed a little sees arm and scene so together: joints,
words and actions stay right, and the place of the named object moves with the picture. A camera
on the gripper tells by where things are in its picture how far to move and to turn: there another
geometry needs other actions, so only blur is allowed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from vla_ros.errors import ParameterError
from vla_ros.learn.train_options import DISTORTIONS, TrainOptions
from vla_ros.robot_config import RobotConfig

_OUT_OF_SIGHT = 2.0
_LEAST_SIGMA_PX = 1e-3

Strengths = Mapping[str, float]
"""By distortion, as in `TrainOptions`."""


class Warp:
    """Distorts pictures, each its own way.

    Args:
        strengths: One for each camera, in the pictures' order.

    Raises:
        ParameterError: kornia is not installed.
    """

    def __init__(self, strengths: Sequence[Strengths]) -> None:
        self._strengths = strengths
        self._warp_affine, self._blur = _load_kornia()

    def __call__(
        self, pixels: Tensor, target_uv: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Distort.

        Args:
            pixels: uint8 (B, C, H, W, 3), on the CPU, H = W.
            target_uv: Where each camera sees the named object, right and down, -1 to 1, (B, C, 2).
            generator: Of the CPU.

        Returns:
            float (B, C, H, W, 3) in [0, 255], and where the object is then; out of sight what was
            or has become so.
        """
        pictures, places = [], []
        for camera, strengths in enumerate(self._strengths):
            planes = pixels[:, camera].permute(0, 3, 1, 2).float()  # (B, 3, H, W)
            matrix = draw_matrices(len(planes), strengths, generator)
            if any(strengths.get(name) for name in ("crop", "shift", "rotate_deg")):
                planes = self._warp_planes(planes, matrix)
            if strengths.get("blur_px"):
                planes = self._blur_planes(planes, strengths["blur_px"], generator)
            pictures.append(planes.permute(0, 2, 3, 1))
            places.append(move_places(target_uv[:, camera], matrix))
        return torch.stack(pictures, dim=1), torch.stack(places, dim=1)

    def _warp_planes(self, planes: Tensor, matrix: Tensor) -> Tensor:
        edge = planes.shape[-1]
        center = (edge - 1) / 2
        turn, move = matrix[:, :, :2], matrix[:, :, 2:] * (edge / 2)
        middle = torch.full((2, 1), center)
        in_pixels = torch.cat([turn, move + middle - turn @ middle], dim=2)
        warped: Tensor = self._warp_affine(
            planes, in_pixels, (edge, edge), padding_mode="border", align_corners=True
        )
        return warped

    def _blur_planes(self, planes: Tensor, most_px: float, generator: torch.Generator) -> Tensor:
        sigma = torch.rand(len(planes), 1, generator=generator) * most_px
        size = 2 * math.ceil(3 * most_px) + 1
        sigma = sigma.clamp(min=_LEAST_SIGMA_PX).expand(-1, 2)
        blurred: Tensor = self._blur(planes, (size, size), sigma, border_type="replicate")
        return blurred


def draw_matrices(count: int, strengths: Strengths, generator: torch.Generator) -> Tensor:
    """Where a point of each picture goes, right and down, -1 to 1 across it, (count, 2, 3)."""

    def uniform(*size: int) -> Tensor:
        return torch.rand(count, *size, generator=generator) * 2 - 1

    angle = uniform() * math.radians(strengths.get("rotate_deg", 0.0))
    kept = 1 - torch.rand(count, generator=generator) * strengths.get("crop", 0.0)
    center = uniform(2) * (1 - kept)[:, None]
    shift = uniform(2) * 2 * strengths.get("shift", 0.0)  # a picture is 2 wide
    cos, sin = angle.cos(), angle.sin()
    turn = torch.stack([cos, -sin, sin, cos], dim=1).view(-1, 2, 2) / kept[:, None, None]
    move = shift - center / kept[:, None]
    return torch.cat([turn, move[:, :, None]], dim=2)


def move_places(target_uv: Tensor, matrix: Tensor) -> Tensor:
    """Places (B, 2) after `matrix` (B, 2, 3); NaN stays, and so does what was out of sight."""
    moved = (matrix[:, :, :2] @ target_uv[:, :, None] + matrix[:, :, 2:]).squeeze(2)
    # Beyond the old border there is no picture: only its last pixels, repeated.
    unseen = (target_uv.abs() >= 1).any(dim=1, keepdim=True)
    return torch.where(unseen, _OUT_OF_SIGHT, moved.clamp(-_OUT_OF_SIGHT, _OUT_OF_SIGHT))


def build_warp(options: TrainOptions, robot: RobotConfig, cameras: Sequence[str]) -> Warp | None:
    """The distortions that are asked for; `None` for none.

    Raises:
        ParameterError: One of them would break the meaning of an action, a camera is not in the
            data, or kornia is not installed.
    """
    given = {name: getattr(options, name) or {} for name in DISTORTIONS}
    problems = [
        problem
        for name, strengths in given.items()
        for camera in strengths
        if (problem := _problem(name, camera, robot, cameras))
    ]
    if problems:
        raise ParameterError("train", problems)
    strengths = [
        {name: by_camera[camera] for name, by_camera in given.items() if by_camera.get(camera)}
        for camera in cameras
    ]
    return Warp(strengths) if any(strengths) else None


def _problem(name: str, camera: str, robot: RobotConfig, cameras: Sequence[str]) -> str | None:
    if camera not in cameras:
        return f"{name}: the data have no camera {camera!r}; valid: {', '.join(cameras)}"
    if name == "blur_px":
        return None
    mount = robot.cameras[camera].mount if camera in robot.cameras else None
    match mount:
        case "fixed":
            return None
        case "gripper":
            return (
                f"{name}: camera {camera!r} moves with the gripper: where things are in its "
                "picture tells how far to move and to turn, so another geometry needs other actions"
            )
        case _:
            return (
                f"{name}: {robot.path} does not say whether camera {camera!r} stands still; give "
                f"it `mount: fixed` or `mount: gripper` (cameras.{camera}); only a fixed camera's "
                "picture may be moved without changing what the action means"
            )


def _load_kornia() -> tuple[Any, Any]:
    # Here, not above: the package is an option.
    try:
        from kornia.filters import gaussian_blur2d
        from kornia.geometry.transform import warp_affine
    except ModuleNotFoundError as error:
        problem = f"{', '.join(DISTORTIONS)} need kornia: pip install kornia"
        raise ParameterError("train", [problem]) from error
    return warp_affine, gaussian_blur2d
