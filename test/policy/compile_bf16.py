"""Compile a tiny model for a CPU and compare it: in a process of its own, see test_fast_path.py."""

from __future__ import annotations

import torch

from vla_ros.model.config import preset
from vla_ros.model.vla import VLAModel
from vla_ros.policy.bf16 import bf16_fuse
from vla_ros.policy.fast_path import plain_fuse


@torch.inference_mode()
def main() -> None:
    """Rows and words of any number, one compilation.

    Raises:
        AssertionError: The result is not nearly that of the plain model.
        RuntimeError: It was compiled a second time.
    """
    torch.manual_seed(0)
    sizes = {"cameras": ("front", "wrist"), "state_features": 17, "action_dim": 8}
    model = VLAModel(preset("tiny", **sizes)).eval().requires_grad_(False)
    text, mask = model.encode_text(torch.tensor([[1, 3, 4, 5], [1, 6, 0, 0]]))
    images, state = torch.rand(2, 2, 3, 32, 32) * 2 - 1, torch.randn(2, 17)
    fuse, plain = bf16_fuse(model, "cpu"), plain_fuse(model)
    fuse(images[:1], text[:1], mask[:1], state[:1])
    torch.compiler.set_stance("fail_on_recompile")
    for rows, words in ((slice(0, 1), 4), (slice(1, 2), 2), (slice(0, 2), 4)):
        part = images[rows], text[rows, :words], mask[rows, :words], state[rows]
        wanted, got = plain(*part), fuse(*part)
        assert got.dtype == torch.float32, got.dtype
        cosine = torch.cosine_similarity(got.flatten(), wanted.flatten(), dim=0)
        assert cosine > 0.995, cosine
        assert not torch.equal(got, wanted), "it is another way, not the plain one again"
    print("alike")


if __name__ == "__main__":
    main()
