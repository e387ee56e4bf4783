"""Networks that predict the torque on the spins of an itinerant magnet.

All take spins (films, 3, rows, columns) on the flattened triangular lattice
(``skyctl.simulators.itinerant.electrons``) and give what of the electrons' field is perpendicular
to them, in units of its mean over the training set. The lattice is periodic and of any size.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from skyctl.inference.torque_network import FEWEST_SITES

Architecture = Literal["equivariant", "gradient", "paper"]
REDUCED_WIDTHS = (16, 32, 48, 64)
PAPER_WIDTHS = (64, 128, 256, 512)
"""Features after each of the paper's four blocks. It prints the last; the others are ours."""


def wrap(x: Tensor, reach: int) -> Tensor:
    """``x`` (…, rows, columns) with ``reach`` sites of the opposite edges added all around.

    Slices and concatenations: they export for any size from ``reach`` on.
    """
    x = torch.cat([x[..., -reach:, :], x, x[..., :reach, :]], -2)
    return torch.cat([x[..., -reach:], x, x[..., :reach]], -1)


def across(spins: Tensor, field: Tensor) -> Tensor:
    """What of a field (films, 3, …) is perpendicular to the spins."""
    return field - spins * (spins * field).sum(1, keepdim=True)


class _Conv(nn.Conv2d):
    """A 5 × 5 convolution on the periodic lattice."""

    def __init__(self, features_in: int, features_out: int) -> None:
        super().__init__(features_in, features_out, 5)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(wrap(x, 2))


class _Block(nn.Module):
    """A ResNet block (Fig. 2): two convolutions with ReLU beside a skip, or 1 × 1, connection."""

    def __init__(self, features_in: int, features_out: int) -> None:
        super().__init__()
        self.first, self.second = (
            _Conv(features_in, features_out),
            _Conv(features_out, features_out),
        )
        same = features_in == features_out
        self.skip = nn.Identity() if same else nn.Conv2d(features_in, features_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.skip(x) + torch.relu(self.second(torch.relu(self.first(x))))


class PaperNetwork(nn.Module):
    """The convolutional torque network of X. Cheng et al., Phys. Rev. Research 5, 033188 (2023).

    Four ResNet blocks, two more 5 × 5 convolutions, no batch normalisation (section III.B). What it
    gives along a spin turns nothing and is taken away, here already in training.

    widths : features after each block, ``PAPER_WIDTHS`` or ``REDUCED_WIDTHS``
    """

    def __init__(self, widths: Sequence[int] = REDUCED_WIDTHS) -> None:
        super().__init__()
        sizes = (3, *widths)
        self.widths = tuple(widths)
        self.blocks = nn.Sequential(*(_Block(a, b) for a, b in zip(sizes, widths, strict=False)))
        self.last = nn.Sequential(_Conv(widths[-1], widths[0]), nn.ReLU(), _Conv(widths[0], 3))

    def forward(self, spins: Tensor) -> Tensor:
        """Spins (films, 3, rows, columns) → perpendicular field, the same shape."""
        return across(spins, self.last(self.blocks(spins)))


REACHES = (6, 2, 2, 6)
"""Of an equivariant network's filters, sites."""
_DIRECTIONS = 6
Adjoint = Callable[[Tensor], tuple[Tensor, Tensor]]
"""From weights of an output to what each input, vectors and spins, changes of its weighted sum."""


def _turned(site: tuple[int, int], times: int) -> tuple[int, int]:
    """A site, (column, row) from the centre, turned by ``times`` 60°."""
    a, b = site
    for _ in range(times % _DIRECTIONS):
        a, b = -b, a + b
    return a, b


def _mirrored(site: tuple[int, int]) -> tuple[int, int]:
    """A site mirrored at the axis of direction 0."""
    a, b = site
    return a + b, -b


def _tied_weights(reach: int, directions_in: int, directions_out: int) -> tuple[np.ndarray, int]:
    """Which of the free weights stands where in a D6-symmetric filter, and how many are free.

    Features either have a direction (6 of them, each symmetric about its own axis) or none (1).
    Returns indices (out, in, 2 reach + 1, 2 reach + 1), -1 outside the hexagon.
    """
    side = 2 * reach + 1
    index = np.full((directions_out, directions_in, side, side), -1)
    orbits: dict[tuple, int] = {}
    for a in range(-reach, reach + 1):
        for b in range(max(-reach, -a - reach), min(reach, -a + reach) + 1):
            for o in range(directions_out):
                for i in range(directions_in):
                    # Every symmetry that leaves the output's direction where it is, or all twelve.
                    turns = [o] if directions_out > 1 else range(_DIRECTIONS)
                    images = []
                    for turn in turns:
                        site = _turned((a, b), -turn)
                        d = (i - turn) % _DIRECTIONS if directions_in > 1 else 0
                        mirror = (-d) % _DIRECTIONS if directions_in > 1 else 0
                        images += [(d, site), (mirror, _mirrored(site))]
                    index[o, i, b + reach, a + reach] = orbits.setdefault(min(images), len(orbits))
    return index, len(orbits)


_FALLS_OVER = 3.0  # sites


def _falloff(reach: int) -> np.ndarray:
    """exp(-distance / 3 sites), (2 reach + 1, 2 reach + 1), 0 outside the hexagon, in units of its
    own root mean square within."""
    b, a = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    distance = np.sqrt(a * a + b * b + a * b)
    inside = np.maximum(np.maximum(abs(a), abs(b)), abs(a + b)) <= reach
    weights = np.exp(-distance / _FALLS_OVER) * inside
    return (weights * np.sqrt(inside.sum()) / np.linalg.norm(weights)).astype(np.float32)


class HexagonConv(nn.Module):
    """A D6-symmetric convolution of vector features; the vectors' components are not touched.

    Each feature has ``directions`` (6, or 1 for none); ``reach`` is the filter's in sites. Weights
    are learned in units that fall with distance, as the electrons' memory of a spin does: far ones
    begin small and learn slowly, else there is most noise where there is least to learn.
    """

    index: Tensor
    falloff: Tensor

    def __init__(self, features: tuple[int, int], directions: tuple[int, int], reach: int) -> None:
        super().__init__()
        (n_in, n_out), (d_in, d_out) = features, directions
        index, free = _tied_weights(reach, d_in, d_out)
        self.reach, self.shape = reach, (n_out * d_out, n_in * d_in, 2 * reach + 1, 2 * reach + 1)
        taps = 1 + 3 * reach * (reach + 1)
        self.free = nn.Parameter(torch.randn(n_out, n_in, free) / (n_in * d_in * taps) ** 0.5)
        self.register_buffer("index", torch.from_numpy(index), persistent=False)
        self.register_buffer("falloff", torch.from_numpy(_falloff(reach)), persistent=False)

    def filters(self) -> Tensor:
        """The filters as of a plain convolution."""
        padded = functional.pad(self.free, (0, 1))  # index -1: nothing
        tied = padded[:, :, self.index].permute(0, 2, 1, 3, 4, 5).reshape(self.shape)
        return tied * self.falloff

    def forward(self, x: Tensor) -> Tensor:
        return filtered(x, self.reach, factors(self.filters()))

    def adjoint(self, y: Tensor) -> Tensor:
        """What a change of each input changes, weighted by ``y``, which is as the output."""
        return filtered(y, self.reach, factors(adjoint_of(self.filters())))


def adjoint_of(filters: Tensor) -> Tensor:
    """The filters (in, out, side, side) of the adjoint of filters (out, in, side, side)."""
    return filters.transpose(0, 1).flip(2, 3)


def factors(filters: Tensor) -> list[Tensor]:
    """Filters (out, in, side, side) as those that give the same one after another, sooner.

    One output costs as much as sixteen. Of several inputs, each row's share is taken first, side by
    side, and then their sum.
    """
    if len(filters) > 1 or filters.shape[1] == 1:
        return [filters]
    rows = torch.eye(filters.shape[-1], dtype=filters.dtype, device=filters.device)
    return [filters[0].permute(1, 0, 2)[:, :, None], rows[None, :, :, None]]


def filtered(x: Tensor, reach: int, parts: Iterable[Tensor]) -> Tensor:
    """Features (…, in, rows, columns) of the periodic lattice through ``factors`` of filters."""
    x = wrap(x, reach)
    for part in parts:
        x = functional.conv2d(x, part)
    return x


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Scalar products of vectors, both (films 3, features, places) → (films, features, places)."""
    _, features, places = a.shape
    # A sum over three written as a product of matrices: five times as fast in ONNX Runtime.
    products = (a * b).reshape(-1, 3, features * places)
    return (torch.ones(1, 3, device=a.device) @ products).reshape(-1, features, places)


def _silu_slope(x: Tensor) -> Tensor:
    """The derivative of SiLU, x sigmoid(x)."""
    s = torch.sigmoid(x)
    return s * (1 + x * (1 - s))


def _weights(summed: int, *shape: int) -> nn.Parameter:
    """Random weights for sums of ``summed`` terms, as torch's layers begin with."""
    return nn.Parameter(torch.empty(shape).uniform_(-1, 1) / summed**0.5)


class _Gate(nn.Module):
    """Vectors combined with weights made of their scalar products, at each site and direction.

    Only products of two vectors enter the weights: reversing all spins reverses the result, as it
    does for the electrons.
    """

    def __init__(self, features: int, products: int, hidden: int) -> None:
        super().__init__()
        self.features, scalars = features, features + products
        # As the step multiplies them: what it took apart or turned first, ONNX would rename.
        self.left = _weights(features + 1, products, features + 1)
        self.right = _weights(features + 1, products, features + 1)
        self.mix = _weights(features + 1, features, features + 1)
        self.own = _weights(2 * scalars, hidden, scalars)
        self.around = _weights(2 * scalars, hidden, scalars)
        self.bias = _weights(2 * scalars, hidden, 1)
        self.second = _weights(hidden, features, hidden)
        self.weight = nn.Parameter(1 + _weights(hidden, features, 1))

    def forward(self, x: Tensor, spins: Tensor) -> Tensor:
        """Vectors (films 3, features 6, rows, columns), spins (films 3, 1, …) → as the first."""
        return self.with_adjoint(x, spins)[0]

    def with_adjoint(self, x: Tensor, spins: Tensor) -> tuple[Tensor, Adjoint]:
        """As ``forward``, and what a change of vectors and spins changes, weighted alike."""
        rows, columns = x.shape[-2:]
        n, f, sites = len(x), self.features, rows * columns
        # Directions lie along the places: what follows acts on each direction alike, as matrices
        # from the left. Convolutions of 1 × 1 would have ONNX Runtime turn arrays over and back.
        x = x.reshape(n, f, _DIRECTIONS * sites)
        s = spins.reshape(n, 1, sites).repeat(1, 1, _DIRECTIONS)
        both = torch.cat([x, s], 1)
        left, right = self.left @ both, self.right @ both
        products = torch.cat([_dot(x, s), _dot(left, right)], 1)
        around = products.unflatten(2, (_DIRECTIONS, sites)).mean(2)
        everywhere = (self.around @ around + self.bias)[:, :, None]
        hidden = (self.own @ products).unflatten(2, (_DIRECTIONS, sites)) + everywhere
        weights = self.second @ functional.silu(hidden.flatten(2)) + self.weight
        mixed = self.mix @ both
        gated = mixed.unflatten(0, (-1, 3)) * weights[:, None]

        def adjoint(by_gated: Tensor) -> tuple[Tensor, Tensor]:
            by_gated = by_gated.reshape(n, f, _DIRECTIONS * sites)
            by_weights = (self.second.T @ _dot(by_gated, mixed)).unflatten(2, (_DIRECTIONS, sites))
            by_hidden = by_weights * _silu_slope(hidden)
            by_around = (self.around.T @ by_hidden.sum(2)).repeat(1, 1, _DIRECTIONS)
            by_products = self.own.T @ by_hidden.flatten(2) + by_around / _DIRECTIONS
            by_products = by_products.repeat_interleave(3, 0)
            by_dots, by_pairs = by_products[:, :f], by_products[:, f:]
            by_mixed = by_gated.unflatten(0, (-1, 3)) * weights[:, None]
            by_both = self.mix.T @ by_mixed.flatten(0, 1)
            by_both = by_both + self.left.T @ (by_pairs * right) + self.right.T @ (by_pairs * left)
            by_x = by_both[:, :f] + by_dots * s
            by_s = by_both[:, f:] + (by_dots * x).sum(1, keepdim=True)
            by_spins = by_s.unflatten(2, (_DIRECTIONS, sites)).sum(2)
            return by_x.reshape(n, -1, rows, columns), by_spins.reshape(n, 1, rows, columns)

        return gated.reshape(n, f * _DIRECTIONS, rows, columns), adjoint


class EquivariantNetwork(nn.Module):
    """A torque network that has the electrons' symmetries by construction: O(3) and D6.

    Vector features, which know a direction on the lattice, are filtered with D6-symmetric filters
    and, between the filters, weighted by functions of their scalar products. What the paper's
    authors name as future work; the architecture is ours.

    features : vectors at a site and direction; reaches : of the filters, in sites: wide where there
        are few vectors, at the first and the last, as electrons carry a spin's influence six
        lattice constants and more
    direct : reach of the filter that sums the spins themselves, what a weak coupling would give
    products, hidden : scalar products and hidden units of each weighting
    """

    def __init__(
        self,
        features: int = 10,
        reaches: Sequence[int] = REACHES,
        products: int = 16,
        hidden: int = 48,
        direct: int = FEWEST_SITES,
    ) -> None:
        super().__init__()
        self.sizes = {
            "features": features,
            "reaches": tuple(reaches),
            "products": products,
            "hidden": hidden,
            "direct": direct,
        }
        first, *middle, last = reaches
        f, d = features, _DIRECTIONS
        self.filters = nn.ModuleList(
            [
                HexagonConv((1, f), (1, d), first),
                *(HexagonConv((f, f), (d, d), reach) for reach in middle),
            ]
        )
        self.gates = nn.ModuleList(_Gate(f, products, hidden) for _ in self.filters)
        self.last = HexagonConv((f, 1), (d, 1), last)
        self.direct = HexagonConv((1, 1), (1, 1), direct)

    def forward(self, spins: Tensor) -> Tensor:
        """Spins (films, 3, rows, columns) → perpendicular field, the same shape."""
        rows, columns = spins.shape[-2], spins.shape[-1]
        s = spins.reshape(-1, 1, rows, columns)
        x = s
        for number, (filters, gate) in enumerate(zip(self.filters, self.gates, strict=True)):
            y = gate(filters(x), s)
            x = y if number == 0 else x + y
        field = self.last(x) + self.direct(s)
        return across(spins, field.reshape(-1, 3, rows, columns))


class GradientNetwork(EquivariantNetwork):
    """An equivariant network whose torque is the gradient of an energy: it can pump none.

    The energy is E = -½ Σ S·F, with F what an ``EquivariantNetwork`` sums up; the field on a spin
    is -∂E/∂S, all of it written out, so that a step needs no differentiation. It filters twice as
    often. Parameters are the same.
    """

    def energy(self, spins: Tensor) -> Tensor:
        """Spins (films, 3, rows, columns) → energies (films,), in units of the mean field."""
        s = spins.reshape(-1, 1, *spins.shape[-2:])
        x = s
        for number, (filters, gate) in enumerate(zip(self.filters, self.gates, strict=True)):
            y = gate(filters(x), s)
            x = y if number == 0 else x + y
        return -(s * (self.last(x) + self.direct(s))).reshape(len(spins), -1).sum(1) / 2

    def forward(self, spins: Tensor) -> Tensor:
        """Spins (films, 3, rows, columns) → perpendicular field, the same shape."""
        s = spins.reshape(-1, 1, *spins.shape[-2:])
        x, adjoints = s, []
        for number, (filters, gate) in enumerate(zip(self.filters, self.gates, strict=True)):
            y, adjoint = gate.with_adjoint(filters(x), s)  # pyright: ignore[reportCallIssue]
            adjoints.append(adjoint)
            x = y if number == 0 else x + y
        # The direct filter is symmetric, its own adjoint.
        field, by_x = self.last(x) + 2 * self.direct(s), self.last.adjoint(s)
        for number in reversed(range(len(adjoints))):
            by_gate, by_spins = adjoints[number](by_x)
            through = self.filters[number].adjoint(by_gate)  # pyright: ignore[reportCallIssue]
            by_x = through if number == 0 else by_x + through
            field = field + by_spins
        return across(spins, (field + by_x).reshape(spins.shape) / 2)


def new_network(
    architecture: Architecture,
    widths: Sequence[int] = REDUCED_WIDTHS,
    reaches: Sequence[int] = REACHES,
) -> EquivariantNetwork | PaperNetwork:
    """A network with random weights; ``widths`` are the paper's, ``reaches`` the others'."""
    if architecture == "paper":
        return PaperNetwork(widths)
    kind = GradientNetwork if architecture == "gradient" else EquivariantNetwork
    return kind(reaches=reaches)
