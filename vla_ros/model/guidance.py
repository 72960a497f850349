"""Real-time chunking: a sampler drawn toward the running plan (2506.07339).

The paper corrects the velocity of a flow, v + w J_A^T W (Y - A1), where A1 is the clean chunk that
is guessed from the noisy A = tau A1 + (1 - tau) noise, J_A its Jacobian and
w = min(beta, (1 - tau) / (tau r^2)) with r^2 = (1 - tau)^2 / (tau^2 + (1 - tau)^2).
Changing v by w g is the same as changing A1 by (1 - tau) w g. Our sampler's x = s A with
s = 1 / sqrt(tau^2 + (1 - tau)^2), so sqrt(alpha_bar) = s tau, r^2 = 1 - alpha_bar and
J_A = s J_x. Without the clip the clean chunk is changed by J_x^T W (Y - A1) / sqrt(alpha_bar), the
guidance of PiGDM (Song et al., 2023).

The paper's clip is there for the noisy end, where w grows without bound; it would bind at the
clean end, too, but the paper's flow stops at tau = 0.8, before that. Ours goes on to tau = 0.98. So
what is clipped here is the factor 1 / sqrt(alpha_bar): the same at the noisy end, while at the
clean one, where guidance is most exact, it goes on.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vla_ros.model.diffusion import CLIP_SAMPLE, Estimate
from vla_ros.model.prefix import Prefix, soft_mask

MAX_WEIGHT = 5.0
"""The paper's beta."""


class PrefixGuide:
    """Corrects each guess of the clean chunk so that it continues the running plan."""

    def __init__(self, prefix: Prefix) -> None:
        self._target = prefix.chunk
        self._weight = soft_mask(prefix, prefix.chunk.shape[1])[..., None]

    def __call__(self, estimate: Estimate, x: Tensor, alpha: Tensor) -> Tensor:
        """The corrected clean chunk (B, T, A).

        Args:
            estimate: Guesses the clean chunk in a noisy one.
            x: The noisy chunk, shape (B, T, A).
            alpha: Its remaining signal, alpha_bar.
        """
        clean, pull = self.pull(estimate, x)
        corrected = clean + alpha.rsqrt().clamp(max=MAX_WEIGHT) * pull
        return corrected.clamp(-CLIP_SAMPLE, CLIP_SAMPLE)

    def pull(self, estimate: Estimate, x: Tensor) -> tuple[Tensor, Tensor]:
        """The clean chunk, and J^T W (Y - clean) with the Jacobian of `estimate` at `x`.

        Gradients are taken in here alone; everything around may run without them.
        """
        with torch.inference_mode(False), torch.enable_grad():
            noisy = x.clone().requires_grad_()
            clean = estimate(noisy)
            error = self._weight * (self._target - clean.detach())
            (pull,) = torch.autograd.grad(clean, noisy, grad_outputs=error)
        return clean.detach(), pull
