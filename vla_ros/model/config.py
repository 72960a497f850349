"""Sizes of a model; what a checkpoint needs to build the same network again. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vla_ros.errors import ParameterError

HEADS = ("mlp", "diffusion")
TEXT_ENCODERS = ("words", "sentence")
# Far beyond use: a broken file shall be refused before it asks for all the memory.
_LARGEST = {
    "state_features": 1024,
    "action_dim": 1024,
    "horizon": 1024,
    "vocab_size": 1_000_000,
    "max_len": 8192,
    "image_px": 2048,
    "patch_px": 2048,
    "width": 8192,
    "heads": 256,
    "vision_blocks": 128,
    "language_blocks": 128,
    "fusion_layers": 128,
}
_MOST_CAMERAS = 16
_MOST_POINTS = 256
_MOST_TASKS = 1024


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Sizes of a `VLAModel`; the defaults are those of the specification (ViT-B/16).

    Attributes:
        cameras: Names of the cameras, in the order of the images' second axis.
        state_features: Length F of the robot state's features.
        action_dim: Length A of an action.
        horizon: Number of steps T in a chunk.
        vocab_size: Number of words, special ones included.
        max_len: Most tokens in an instruction, the leading CLS included.
        image_px: Height and width of every image.
        patch_px: Height and width of a patch.
        width: Length D of every token.
        heads: Attention heads in every block.
        vision_blocks: Transformer blocks per camera.
        language_blocks: Transformer blocks over the instruction.
        fusion_layers: Layers in which words and state look at the pictures.
        points: Places in each picture that the words point at; 0 leaves the pointers away, as the
            specification does.
        glimpse_px: Height and width of what is cut out around the first place of each picture and
            looked at closely, a multiple of 4; 0 for no such look.
        action_head: `mlp` regresses a chunk, `diffusion` samples one.
        text_encoder: `words` is trained with the rest, `sentence` is pretrained and frozen.
        task_embedding: Names of the kinds of task that have an embedding, in the order of their
            numbers from 1 on; 0 is "not told". Empty for a model without.
        object_words: Ids of words that only tell which object is meant, such as colours. The
            pointers hear them, the rest of the model does not: what it does to one object it does
            to all.
        rtc_delay_steps: Most first steps of a chunk that the decoder can be given from the running
            plan, as it was trained to be; 0 for one that was not.

    Raises:
        ParameterError: With all the sizes that do not go together.
    """

    cameras: tuple[str, ...]
    state_features: int
    action_dim: int
    horizon: int = 16
    vocab_size: int = 50_000
    max_len: int = 512
    image_px: int = 224
    patch_px: int = 16
    width: int = 768
    heads: int = 12
    vision_blocks: int = 12
    language_blocks: int = 12
    fusion_layers: int = 2
    points: int = 0
    glimpse_px: int = 0
    action_head: str = "mlp"
    text_encoder: str = "words"
    task_embedding: tuple[str, ...] = ()
    object_words: tuple[int, ...] = ()
    rtc_delay_steps: int = 0

    def __post_init__(self) -> None:
        problems = [
            f"{name} is {value}, it must be a whole number above 0, at most {largest}"
            for name, largest in _LARGEST.items()
            if type(value := getattr(self, name)) is not int or not 1 <= value <= largest
        ]
        problems += [] if problems else self._mismatches()
        if problems:
            raise ParameterError("model configuration", problems)

    def _mismatches(self) -> list[str]:
        problems = []
        if not 1 <= len(self.cameras) <= _MOST_CAMERAS or len(set(self.cameras)) != len(
            self.cameras
        ):
            problems.append(
                f"cameras are {self.cameras}, there must be 1 to {_MOST_CAMERAS}, each once"
            )
        if self.image_px % self.patch_px:
            problems.append(f"image_px {self.image_px} is no multiple of patch_px {self.patch_px}")
        if self.width % self.heads:
            problems.append(f"width {self.width} is no multiple of heads {self.heads}")
        if type(self.points) is not int or not 0 <= self.points <= _MOST_POINTS:
            problems.append(
                f"points is {self.points}, it must be a whole number from 0 to {_MOST_POINTS}"
            )
        elif self.points and (self.image_px % 4 or self.width % 16):
            problems.append(
                f"points need an image_px that is a multiple of 4 and a width that is one of 16, "
                f"got {self.image_px} and {self.width}"
            )
        problems += self._glimpse_problems()
        if self.action_head not in HEADS:
            problems.append(f"action_head is {self.action_head!r}; valid: {', '.join(HEADS)}")
        if self.text_encoder not in TEXT_ENCODERS:
            problems.append(
                f"text_encoder is {self.text_encoder!r}; valid: {', '.join(TEXT_ENCODERS)}"
            )
        if type(self.rtc_delay_steps) is not int or not 0 <= self.rtc_delay_steps < self.horizon:
            problems.append(
                f"rtc_delay_steps is {self.rtc_delay_steps}, it must be a whole number from 0 to "
                f"{self.horizon - 1}, less than the horizon"
            )
        names = self.task_embedding
        if len(names) > _MOST_TASKS or len(set(names)) != len(names) or not all(names):
            problems.append(
                f"task_embedding is {names}, it must be at most {_MOST_TASKS} names, each once"
            )
        if not all(type(word) is int and 0 <= word < self.vocab_size for word in self.object_words):
            problems.append(
                f"object_words are {self.object_words}, they must be ids of words, 0 to "
                f"{self.vocab_size - 1}"
            )
        if self.object_words and not self.points:
            problems.append("object_words are for the pointers, and there are none: points is 0")
        return problems

    def _glimpse_problems(self) -> list[str]:
        size = self.glimpse_px
        if type(size) is not int or not 0 <= size <= self.image_px or size % 4:
            return [
                f"glimpse_px is {size}, it must be a multiple of 4 from 0 to image_px, "
                f"{self.image_px}"
            ]
        if size and not self.points:
            return ["glimpse_px is for the place pointed at, and there is none: points is 0"]
        if size and self.width % 32:
            return [f"a glimpse needs a width that is a multiple of 32, got {self.width}"]
        return []

    @property
    def glimpse_dim(self) -> int:
        """Length of what is seen at one place."""
        return self.width // 2 if self.glimpse_px else 0

    @property
    def prefix_steps(self) -> int:
        """Most steps of a running plan that the policy takes as a prefix; 0 when it takes none.

        A diffusion head that was not trained with a prefix is guided toward one of any length.
        """
        is_guided = self.action_head == "diffusion" and not self.rtc_delay_steps
        return self.horizon if is_guided else self.rtc_delay_steps

    @property
    def condition_dim(self) -> int:
        """Length of what the action decoder sees, as in `Fused.condition`."""
        of_camera = self.width + 2 * self.points + self.glimpse_dim
        return 2 * self.width + of_camera * len(self.cameras)


_SMALL: dict[str, Any] = {
    "image_px": 96,
    "width": 128,
    "heads": 4,
    "vision_blocks": 3,
    "language_blocks": 2,
    "points": 8,
    "vocab_size": 256,
    "max_len": 64,
}
_TINY: dict[str, Any] = {
    "image_px": 32,
    "width": 32,
    "heads": 2,
    "vision_blocks": 1,
    "language_blocks": 1,
    "fusion_layers": 1,
    "points": 2,
    "vocab_size": 32,
    "max_len": 16,
    "horizon": 4,
}
PRESETS: dict[str, dict[str, Any]] = {"base": {}, "small": _SMALL, "tiny": _TINY}


def preset(name: str, **sizes: Any) -> ModelConfig:
    """Return the configuration `name`, with `sizes` set or replaced.

    Args:
        name: `base` is the specification's size, `small` trains on a CPU core, `tiny` is for tests.
        sizes: Attributes of `ModelConfig`; `cameras`, `state_features` and `action_dim` are needed.

    Raises:
        ParameterError: No such preset, or sizes that do not go together.
    """
    if name not in PRESETS:
        problem = f"preset {name!r} is unknown; valid: {', '.join(PRESETS)}"
        raise ParameterError("model configuration", [problem])
    return ModelConfig(**{**PRESETS[name], **sizes})
