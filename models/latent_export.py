"""Export of latent networks to three ONNX files that belong together, with their card."""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skyctl.errors import ModelError
from skyctl.inference.latent_film import PARTS, LatentCard, LatentFilm, latent_files
from skyctl.models.latent import FIELD_UNIT_T, LatentNetwork, Modes
from skyctl.models.latent_data import INTERVAL_PS, LatentPlan, whole_of
from skyctl.models.onnx_file import write_onnx

_PARITY = 1e-3
"""Of m, after a step: ONNX Runtime adds in another order."""


@dataclass(frozen=True)
class LatentFacts:
    """What the files and the card say of a network.

    plan : of the trajectories that it learned
    scores : of what it predicts of others, as ``latent_scores.table_row`` has them
    spread : rank correlation of the members' spread in a frame with the error of ⟨m⟩ there
    """

    plan: LatentPlan
    data_sha256: str
    scores: dict[str, Any] = field(default_factory=dict)
    spread: float = 0.0
    version: str = "1"


class _Encoder(nn.Module):
    """Half films (batch, 3, rows, columns) → latent numbers (members, batch, latent)."""

    basis: Tensor
    middle: Tensor

    def __init__(self, network: LatentNetwork, modes: Modes) -> None:
        super().__init__()
        self.network, self.size = network, float(np.sqrt(modes.cells))
        self.register_buffer("basis", torch.from_numpy(modes.basis.T.copy()).half())
        self.register_buffer("middle", torch.from_numpy(modes.mean))

    def forward(self, m: Tensor) -> Tensor:
        flat = m.flatten(1) - self.middle
        return self.network.encode((flat @ self.basis.float() / self.size)[None])


class _Step(nn.Module):
    """Latent numbers an interval later in a field (batch, 3) T, and ⟨m⟩ then."""

    def __init__(self, network: LatentNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, z: Tensor, field_T: Tensor) -> tuple[Tensor, Tensor]:
        fields = (field_T / FIELD_UNIT_T)[None].expand(self.network.members, -1, -1)
        after = self.network.step(z, fields)
        return after, self.network.mean_of_latent(after)


class _Decoder(nn.Module):
    """Latent numbers → half films (members, batch, 3, rows, columns), and ⟨m⟩."""

    basis: Tensor
    middle: Tensor

    def __init__(self, network: LatentNetwork, modes: Modes) -> None:
        super().__init__()
        self.network, self.shape = network, modes.shape
        self.register_buffer("basis", torch.from_numpy(modes.basis).half())
        self.register_buffer("middle", torch.from_numpy(modes.mean))
        self.size = float(np.sqrt(modes.cells))

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        coordinates = self.network.decode(z)
        flat = coordinates @ self.basis.float() * self.size + self.middle
        return flat.unflatten(2, self.shape), self.network.mean_of_latent(z)


def export_latent(network: LatentNetwork, modes: Modes, encoder: Path, facts: LatentFacts) -> float:
    """Write NAME-encoder.onnx (``encoder``), NAME-step.onnx and NAME-decoder.onnx for any batch.

    Returns the largest difference of m between torch and ONNX Runtime after a step. Raises
    ModelError when it is above 1e-3; then no file is left behind.
    """
    network = network.cpu().eval()
    plan = facts.plan
    metadata: dict[str, Any] = {
        "name": encoder.name.removesuffix("-encoder.onnx"),
        "version": facts.version,
        "film": json.dumps(asdict(plan.film)),
        "strongest_T": plan.strength_T[1],
        "horizon_ps": (plan.frames - 1) * INTERVAL_PS,
        "interval_ps": INTERVAL_PS,
        "members": network.members,
        "latent": network.latent,
        "data_sha256": facts.data_sha256,
    }
    files = latent_files(encoder)
    batch = torch.export.Dim("batch", min=1)
    m, z = torch.zeros(2, *modes.shape), torch.zeros(network.members, 2, network.latent)
    shapes: dict[str, Any] = {"m": {0: batch}, "z": {1: batch}, "field_T": {0: batch}}
    inputs: dict[str, tuple[nn.Module, dict[str, Tensor], list[str]]] = {
        "encoder": (_Encoder(network, modes), {"m": m}, ["z"]),
        "step": (_Step(network), {"z": z, "field_T": torch.zeros(2, 3)}, ["z_after", "mean"]),
        "decoder": (_Decoder(network, modes), {"z": z}, ["m", "mean"]),
    }
    for part, (module, given, outputs) in inputs.items():
        free = {name: shapes[name] for name in given}
        write_onnx(module.eval(), given, outputs, free, metadata, files[part])
    difference = _parity(network, modes, encoder)
    if not difference <= _PARITY:
        for path in files.values():
            path.unlink()
        raise ModelError(
            f"latent network {encoder}: ONNX Runtime and torch differ by {difference:.1e}"
        )
    return difference


@torch.no_grad()
def _parity(network: LatentNetwork, modes: Modes, encoder: Path) -> float:
    film = LatentFilm(encoder)
    modes = replace(modes, basis=modes.basis.astype(np.float16).astype(np.float32))  # as they ship
    rng = np.random.default_rng(0)
    some = rng.normal(size=(3, len(modes.basis))).astype(np.float32) * modes.deviation
    half = modes.half(some)
    half /= np.linalg.norm(half, axis=1, keepdims=True)
    fields = rng.uniform(-0.02, 0.02, (3, 3)).astype(np.float32)
    z, _ = film.step(film.encode(whole_of(half)), fields)
    held = torch.from_numpy(modes.coordinates(half)).expand(network.members, -1, -1)
    turned = torch.from_numpy(fields / FIELD_UNIT_T).expand(network.members, -1, -1)
    after = network.decode(network.step(network.encode(held), turned)).mean(0).numpy()
    expected = modes.half(after)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    return float(np.abs(film.decode(z)[:, :, : half.shape[2]] - expected).max())


def latent_card(card: LatentCard, facts: LatentFacts, parity: float, size: int) -> str:
    """The model card of exported networks, Markdown. size : of their files, bytes."""
    plan, s, film = facts.plan, facts.scores, facts.plan.film
    weakest, strongest = (1e3 * field for field in plan.strength_T)
    x, y, z = film.cell_nm
    changing = ""
    if s["changing_horizon_ps"] is not None:
        changing = f"| sequences of fields, median | {s['changing_mean_median']:.3f} | |\n"
        changing += (
            f"\nUnder changing fields nine in ten cells are within 10° up to "
            f"{s['changing_horizon_ps']:.0f} ps (median of the sequences).\n"
        )
    hashes = "\n".join(
        f"| {part} sha256 | `{found}` |"
        for part, found in zip(PARTS, card.files_sha256, strict=True)
    )
    return f"""# {card.name}, version {card.version}

A thin film imagined: its state in {card.latent} numbers, and where fields take them in steps of
{card.interval_ps:g} ps.

**Networks.** Modes of half films, a perceptron beside a linear map to {card.latent} numbers and
back, and a residual step; {card.members} members, whose spread says how far to trust
(``Imagined.spread``; in held-out frames its rank correlation with the error of ⟨m⟩ is
{facts.spread:.2f}). Any number of trajectories at once. Three files, {size / 1e6:.1f} MB.

**Film.** {film.rows} × {film.columns} cells of {x:g} × {y:g} × {z:g} nm, A =
{film.exchange_J_per_m:g} J/m, M_s = {film.magnetisation_A_per_m:g} A/m, α = {film.damping:g}.
Another size is refused.

**Start.** The S-state, and what fields make of it. A state that half a turn, r → -r, changes
(noise, defects, a pulse on a spot) is refused.

**Fields.** Uniform, in the plane, up to {strongest:g} mT; a stronger one, or one across the plane,
is refused. Learned: {plan.constant} constant fields of {weakest:g} to {strongest:g} mT, up to
{plan.half_opening_deg:g}° off -x, and {plan.sequences} sequences in any direction of the plane,
each field on for {plan.piece_ps[0]:g} to {plan.piece_ps[1]:g} ps.

**Horizon.** {card.horizon_ps:g} ps; more is refused.

**Held out**, fields that training did not see; largest error of a component of ⟨m⟩, 50 ps to 1 ns:

| fields | ⟨m⟩ | to 0.4 ns |
|---|---|---|
| standard problem 4, field 1 | {s["field_1"]:.3f} | {s["field_1_to_400_ps"]:.3f} |
| field 2 | {s["field_2"]:.3f} | {s["field_2_to_400_ps"]:.3f} |
| {s["others"]} constant fields, median | {s["others_median"]:.3f} | |
{changing}
The film itself, in these cells, is 0.007 off the reference in field 1 and 0.11 in field 2.

**Made by** `skyctl train latent`.

| | |
|---|---|
| trajectories sha256 | `{card.data_sha256}` |
{hashes}
| torch against ONNX Runtime, of m | {parity:.1e} |
"""
