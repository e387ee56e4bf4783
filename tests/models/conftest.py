"""Movies made up so that the right answer is known, as networks get them."""

import numpy as np
import pytest

from skyctl.models.training import CLASSES, Examples

COUNT = 60


def made_up(per_class: int, views: int = 1, seed: int = 0) -> Examples:
    """Movies whose class can be read off how high their features end."""
    rng = np.random.default_rng(seed)
    size = per_class * len(CLASSES) * views
    labels = np.tile(np.arange(len(CLASSES)), per_class).repeat(views)
    ramp = np.linspace(0, 3, 34).clip(max=1)[None, :, None]
    level = np.linspace(-1, 1, len(CLASSES))[labels][:, None, None]
    noise = rng.normal(0, 0.02, (size, 34, COUNT))
    return Examples(
        features=(-1 + ramp * (level + 1) + noise).astype(np.float32),
        frames=np.full(size, 34),
        peak_ps=np.full(size, 40.0),
        labels=labels,
        rows=np.arange(size) // views,
        views=np.tile(np.arange(views), size // views),
        content_sha256="0" * 64,
    )


@pytest.fixture(name="made_up", scope="session")
def _made_up():
    return made_up
