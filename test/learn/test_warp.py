"""Distorted pictures: the named object's place goes with them, and what is refused."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest
import torch

from vla_ros.errors import ParameterError
from vla_ros.learn.train_arguments import add_arguments
from vla_ros.learn.train_options import TrainOptions, read_options
from vla_ros.learn.warp import Warp, build_warp
from vla_ros.robot_config import load_robot
from vla_ros.share import share_path

ROBOT = load_robot(share_path("config/panda.yaml"))
EDGE = 64
ALL = {"crop": 0.2, "shift": 0.05, "rotate_deg": 10.0, "blur_px": 1.0}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def dots(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures (count, 1, EDGE, EDGE, 3) with a soft bright dot each, and where it is, (.., 2)."""
    places = torch.rand(count, 2, generator=generator(1)) * 1.2 - 0.6
    axis = (torch.arange(EDGE) + 0.5) * 2 / EDGE - 1
    down, right = torch.meshgrid(axis, axis, indexing="ij")
    far = (right - places[:, 0, None, None]) ** 2 + (down - places[:, 1, None, None]) ** 2
    bright = 255 * torch.exp(-far / (2 * 0.05**2))
    pixels = bright.round().to(torch.uint8)[:, None, :, :, None].expand(-1, -1, -1, -1, 3)
    return pixels.contiguous(), places[:, None]


def found(pixels: torch.Tensor) -> torch.Tensor:
    """Where the dots are, (B, 2)."""
    bright = pixels[:, 0, :, :, 0].double()
    axis = (torch.arange(EDGE) + 0.5) * 2 / EDGE - 1
    total = bright.sum(dim=(1, 2))
    return torch.stack(
        [(bright.sum(dim=1) @ axis.double()) / total, (bright.sum(dim=2) @ axis.double()) / total],
        dim=1,
    )


@pytest.mark.parametrize(
    "strengths", [*({name: value} for name, value in ALL.items()), ALL], ids=[*ALL, "all"]
)
def test_the_place_goes_with_the_picture(strengths: dict[str, float]) -> None:
    pixels, places = dots(40)
    warped, moved = Warp([strengths])(pixels, places, generator())
    assert warped.shape == pixels.shape
    assert not torch.equal(warped, pixels.float())
    inside = (moved[:, 0].abs() < 0.8).all(dim=1)
    assert inside.sum() > 20
    # The picture has 64 pixels across 2.
    off = (found(warped) - moved[:, 0])[inside].abs().max()
    assert off < 0.2 * 2 / EDGE
    if set(strengths) != {"blur_px"}:
        assert (moved - places)[inside].abs().max() > 1 * 2 / EDGE


def test_strengths_bound_what_happens() -> None:
    """The corners of a turned picture move least, those of a cropped one outwards."""
    pixels, _ = dots(200)
    places = torch.full((200, 1, 2), 0.5)
    for name, most in (("shift", 0.05 * 2), ("rotate_deg", 2 * 0.5 * 2**0.5 * np.sin(np.pi / 36))):
        _, moved = Warp([{name: ALL[name]}])(pixels, places, generator())
        far = (moved - places).norm(dim=2).max() / (2**0.5 if name == "shift" else 1)
        assert 0.7 * most < far <= most + 1e-6


def test_a_camera_without_distortion_is_left_alone() -> None:
    pixels, places = dots(4)
    both, two = torch.cat([pixels, pixels], dim=1), torch.cat([places, places], dim=1)
    warped, moved = Warp([{}, ALL])(both, two, generator())
    assert torch.equal(warped[:, 0], pixels[:, 0].float())
    torch.testing.assert_close(moved[:, 0], places[:, 0])
    assert not torch.equal(warped[:, 1], pixels[:, 0].float())


def test_what_is_unknown_or_out_of_sight_stays_so() -> None:
    pixels, _ = dots(50)
    places = torch.full((50, 1, 2), 1.02)
    places[:25] = torch.nan
    _, moved = Warp([ALL])(pixels, places, generator())
    assert moved[:25].isnan().all()
    assert (moved[25:] == 2).all()


def test_the_same_generator_gives_the_same_pictures() -> None:
    pixels, places = dots(4)
    one, other, another = (Warp([ALL])(pixels, places, generator(seed))[0] for seed in (3, 3, 4))
    assert torch.equal(one, other)
    assert not torch.equal(one, another)


@pytest.mark.parametrize(
    ("robot", "options", "told"),
    [
        ("panda", {"rotate_deg": {"wrist": 3}}, "camera 'wrist' moves with the gripper"),
        ("panda", {"shift": {"wrist": 0.1}}, "camera 'wrist' moves with the gripper"),
        ("panda", {"crop": {"side": 0.1}}, "no camera 'side'; valid: front, wrist"),
        ("ur5e", {"crop": {"front": 0.1}}, "does not say whether camera 'front' stands still"),
    ],
)
def test_what_would_change_the_meaning_of_an_action_is_refused(
    robot: str, options: dict, told: str
) -> None:
    path = share_path(f"config/{robot}.yaml")
    wanted = TrainOptions(data=Path("toy"), robot_file=path, **options)
    with pytest.raises(ParameterError) as caught:
        build_warp(wanted, load_robot(path), ("front", "wrist"))
    assert told in str(caught.value)


def test_the_gripper_camera_may_be_blurred() -> None:
    options = TrainOptions(data=Path("toy"), robot_file=ROBOT.path, blur_px={"wrist": 1.0})
    assert build_warp(options, ROBOT, ("front", "wrist")) is not None
    nothing = TrainOptions(data=Path("toy"), robot_file=ROBOT.path)
    assert build_warp(nothing, ROBOT, ("front", "wrist")) is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "crop: {front: 0.9}",
            "crop is {'front': 0.9}, it must give cameras a number from 0 to 0.3",
        ),
        ("rotate_deg: 3", "rotate_deg is 3, it must give cameras a number"),
        ("flip: true", "teaches the wrong side; mirror does all of it"),
        ("mirror: sometimes", "mirror is 'sometimes'; valid: true, false"),
    ],
)
def test_wrong_strengths_are_refused(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(f"data: toy\n{text}\n")
    with pytest.raises(ParameterError) as caught:
        read_options(path, {})
    assert told in str(caught.value)


def test_strengths_from_the_command_line() -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    words = "--data toy --out runs --rotate-deg front=3 --blur-px front=1 wrist=0.5 --mirror"
    options = read_options(None, vars(parser.parse_args(words.split())))
    assert options.rotate_deg == {"front": 3}
    assert options.blur_px == {"front": 1, "wrist": 0.5}
    assert options.mirror
    assert options.crop is None
