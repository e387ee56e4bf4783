"""The generator's decoder: maps of places in, unit vectors out, of any size."""

from torch import Tensor, nn
from torch.nn import functional

from skyctl.inference.state_generator import STRIDE, WIDTHS
from skyctl.models.torque import wrap


class Decoder(nn.Module):
    """Three 3 × 3 convolutions on pixels of STRIDE × STRIDE sites, then a spin at each site.

    (films, 1 + len(WIDTHS), h, w) → (films, 3, STRIDE·h, STRIDE·w), |S| = 1; a periodic film.
    """

    def __init__(self, features: int = 16) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(a, b, 3)
            for a, b in (
                (1 + len(WIDTHS), features),
                (features, features),
                (features, 3 * STRIDE**2),
            )
        )

    def forward(self, maps: Tensor) -> Tensor:
        first, second, last = self.convolutions
        x = functional.silu(first(wrap(maps, 1)))
        x = functional.silu(second(wrap(x, 1)))
        spins = functional.pixel_shuffle(last(wrap(x, 1)), STRIDE)
        return spins / (spins.square().sum(1, keepdim=True) + 1e-12).sqrt()
