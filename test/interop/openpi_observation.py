"""The observation that both sides of `interop.py` ask with."""

import numpy as np


def observation():
    """The same on both sides."""
    picture = np.arange(96 * 96 * 3, dtype=np.uint32).reshape(96, 96, 3) % 251
    return {
        "observation/image/front": picture.astype(np.uint8),
        "observation/image/wrist": picture[::-1].astype(np.uint8),
        "observation/state": np.array([0.0, 0.2, 0.0, -2.4, 0.0, 2.6, 0.8, 1.0]),
        "prompt": "open the drawer",
    }
