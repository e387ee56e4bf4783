"""A thin film imagined: its state in a few numbers, and where fields take them, many at once.

Three ONNX files belong together, NAME-encoder, NAME-step and NAME-decoder: from a state to latent
numbers of each member, one interval on in a field, and back. They know one film, fields in its
plane up to a strength, and a horizon; whatever lies outside is refused.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from skyctl.errors import ModelError, SkyctlError
from skyctl.inference.session import (
    only_asked_for,
    open_session,
    read_model,
    shipped_model,
    try_once,
)

SHIPPED_LATENT = "thin-film-latent"
"""Name of the shipped network, see ``latent_files``."""
PARTS = ("encoder", "step", "decoder")
_SYMMETRIC = 0.02
"""Half a turn may change a component of m by this: more than rounding, less than any defect."""
_UNIT = 1e-3
_LARGEST_SIDE = 4096
_MOST = 64


class OutsideModel(SkyctlError, ValueError):
    """What a latent network was asked of lies outside what it has learned."""


@dataclass(frozen=True)
class LatentCard:
    """What the files say of themselves.

    film : of the thin film (``ThinFilmParameters.as_dict``)
    strongest_T : fields in the plane were learned up to it; horizon_ps : trajectories so long
    interval_ps : of a step; members, latent : of the networks
    """

    name: str
    version: str
    film: dict[str, Any]
    strongest_T: float
    horizon_ps: float
    interval_ps: float
    members: int
    latent: int
    data_sha256: str
    files_sha256: tuple[str, ...]

    @property
    def rows(self) -> int:
        """Cells along y."""
        return int(self.film["rows"])

    @property
    def columns(self) -> int:
        """Cells along x."""
        return int(self.film["columns"])


@dataclass(frozen=True)
class Imagined:
    """Trajectories that a latent network imagines; frames are an interval apart, the start first.

    mean : (batch, frames, 3), ⟨m⟩, mean of the members
    spread : (batch, frames), how far members are from their mean, of all coordinates of ⟨m⟩
    latent, latent_before : (members, batch, latent) at the end, and an interval before it
    """

    mean: np.ndarray
    spread: np.ndarray
    latent: np.ndarray
    latent_before: np.ndarray


def latent_files(encoder: Path | None = None) -> dict[str, Path]:
    """The three files of a network, by part. encoder : NAME-encoder.onnx; None: the shipped one.

    Raises ModelError for a file of another name.
    """
    path = encoder or shipped_model(f"{SHIPPED_LATENT}-encoder")
    stem = path.name.removesuffix("-encoder.onnx")
    if stem == path.name:
        raise ModelError(f"latent network {path}: give its encoder, NAME-encoder.onnx")
    return {part: path.with_name(f"{stem}-{part}.onnx") for part in PARTS}


class LatentFilm:
    """ONNX Runtime sessions of a latent network's three parts.

    encoder : NAME-encoder.onnx, the others lie beside it; None: the shipped network
    film : that it must have been trained for (``ThinFilmParameters.as_dict``); None: whichever

    Raises ModelError for files that are missing, damaged, of several networks or of another film.
    """

    def __init__(self, encoder: Path | None = None, film: dict[str, Any] | None = None) -> None:
        remedy = "Give the path of NAME-encoder.onnx; `skyctl train latent` writes all three."
        self._sessions: dict[str, Any] = {}
        self._only = only_asked_for()
        hashes, said = [], []
        for part, path in latent_files(encoder).items():
            content = read_model(path, "latent network", remedy)
            hashes.append(hashlib.sha256(content).hexdigest())
            self._sessions[part] = open_session(content, path, "cpu")
            said.append(self._sessions[part].get_modelmeta().custom_metadata_map)
        self.path = latent_files(encoder)["encoder"]
        if any(meta != said[0] for meta in said):
            raise ModelError(f"latent network {self.path}: its three files are of several networks")
        self.card = _read_card(self.path, said[0], tuple(hashes))
        self._try_once()
        if film is not None and film != self.card.film:
            differs = {k: v for k, v in film.items() if self.card.film.get(k) != v}
            raise ModelError(
                f"latent network {self.path}: trained for another film, not one of {differs}. "
                "Train one for it: skyctl train latent"
            )

    def encode(self, m: np.ndarray) -> np.ndarray:
        """Latent numbers, (members, batch, latent), of states (batch, 3, rows, columns).

        Raises OutsideModel for another shape, NaN, vectors of another length, or a state that is
        not its own image under half a turn.
        """
        card = self.card
        m = np.asarray(m, np.float32)
        if m.ndim != 4 or m.shape[1:] != (3, card.rows, card.columns) or not len(m):
            raise OutsideModel(
                f"states of shape {m.shape}: this network's film needs (batch, 3, {card.rows}, "
                f"{card.columns})"
            )
        off = np.abs(np.linalg.norm(m, axis=1) - 1).max()
        if not off <= _UNIT:
            raise OutsideModel(f"states: NaN, or a vector's length is off 1 by {off:.2g}")
        turned = np.abs(m - m[..., ::-1, ::-1]).max()
        if turned > _SYMMETRIC:
            raise OutsideModel(
                f"states: half a turn, r → -r, changes m by {turned:.2g}. This network knows "
                "states that it leaves as they are: start from the S-state or a uniform one"
            )
        return self._run("encoder", "z", m=m[:, :, : card.rows // 2])

    def step(self, z: np.ndarray, fields_T: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Latent numbers an interval later, and ⟨m⟩ then of each member, (members, batch, 3).

        fields_T : (batch, 3); unchecked, for loops: `imagine` checks
        """
        return tuple(self._sessions["step"].run(["z_after", "mean"], {"z": z, "field_T": fields_T}))

    def imagine(self, z: np.ndarray, fields_T: np.ndarray) -> Imagined:
        """Trajectories from latent numbers, under fields (batch, steps, 3) T, one an interval.

        z : (members, batch, latent), or (members, 1, latent) for one start of all

        Raises OutsideModel for fields that were not learned, and more steps than the horizon.
        """
        fields_T = np.asarray(fields_T, np.float32)
        self._check_fields(fields_T)
        batch, steps, _ = fields_T.shape
        z = np.ascontiguousarray(np.broadcast_to(z, (len(z), batch, z.shape[2])), np.float32)
        means = np.empty((steps + 1, self.card.members, batch, 3), np.float32)
        means[0] = self._run("decoder", "mean", z=z)
        by_step = np.ascontiguousarray(fields_T.transpose(1, 0, 2))
        before = z
        for number in range(steps):
            before = z
            z, means[number + 1] = self.step(z, by_step[number])
        middle = means.mean(1)
        spread = np.sqrt(np.square(means - middle[:, None]).mean((1, 3)))
        return Imagined(middle.transpose(1, 0, 2), spread.T, z, before)

    def mean(self, z: np.ndarray) -> np.ndarray:
        """⟨m⟩, (batch, 3), of latent numbers: the mean of the members'."""
        return self._run("decoder", "mean", z=np.asarray(z, np.float32)).mean(0)

    def decode(self, z: np.ndarray) -> np.ndarray:
        """States (batch, 3, rows, columns), unit vectors: the mean of the members'."""
        half = self._run("decoder", "m", z=np.asarray(z, np.float32)).mean(0)
        half /= np.linalg.norm(half, axis=1, keepdims=True)
        return np.concatenate([half, half[..., ::-1, ::-1]], -2)

    def _check_fields(self, fields_T: np.ndarray) -> None:
        card = self.card
        if fields_T.ndim != 3 or fields_T.shape[2] != 3 or not fields_T.size:
            raise OutsideModel(f"fields of shape {fields_T.shape}: give (batch, steps, 3), T")
        if not np.isfinite(fields_T).all():
            raise OutsideModel("fields: a NaN or an infinity. Give finite numbers, T")
        strongest = float(np.linalg.norm(fields_T[..., :2], axis=2).max())
        if strongest > card.strongest_T * (1 + 1e-6) or fields_T[..., 2].any():
            out = float(np.abs(fields_T[..., 2]).max())
            raise OutsideModel(
                f"fields up to {strongest * 1e3:.3g} mT in the plane and {out * 1e3:.3g} mT across "
                f"it: this network learned {card.strongest_T * 1e3:.3g} mT in the plane and none "
                "across it"
            )
        steps = round(card.horizon_ps / card.interval_ps)
        if fields_T.shape[1] > steps:
            raise OutsideModel(
                f"{fields_T.shape[1]} steps of {card.interval_ps:g} ps: this network learned "
                f"trajectories of {card.horizon_ps:g} ps, {steps} steps"
            )

    def _run(self, part: str, output: str, **inputs: np.ndarray) -> np.ndarray:
        return self._sessions[part].run([output], inputs, self._only)[0]

    def _try_once(self) -> None:
        """Graphs may have the right names and still not fit together, or never answer."""
        c = self.card
        m = np.zeros((1, 3, c.rows // 2, c.columns), np.float32)
        m[:, 0] = 1
        try:
            (z,) = try_once(self._sessions["encoder"], ["z"], {"m": m})
            inputs = {"z": z, "field_T": np.zeros((1, 3), np.float32)}
            z, mean = try_once(self._sessions["step"], ["z_after", "mean"], inputs)
            (back,) = try_once(self._sessions["decoder"], ["m"], {"z": z})
            shapes = (c.members, 1, c.latent), (c.members, 1, 3), (c.members, *m.shape)
            for array, shape in zip((z, mean, back), shapes, strict=True):
                if array.shape != shape or not np.isfinite(array).all():
                    raise ValueError(f"gives {array.shape}, or what is no number; not {shape}")
        except Exception as error:  # onnxruntime raises its own classes straight from Exception
            raise ModelError(
                f"latent network {self.path}: cannot take one state through its three files "
                f"({error}). Write them again: skyctl train latent"
            ) from error


def _read_card(path: Path, meta: dict[str, str], hashes: tuple[str, ...]) -> LatentCard:
    read: dict[str, Callable[[str], Any]] = {
        "name": str, "version": str, "film": json.loads, "strongest_T": float,
        "horizon_ps": float, "interval_ps": float, "members": int, "latent": int,
        "data_sha256": str,
    }  # fmt: skip
    try:
        card = LatentCard(
            **{key: of_text(meta[key]) for key, of_text in read.items()}, files_sha256=hashes
        )
        if not (1 <= card.rows <= _LARGEST_SIDE and 1 <= card.columns <= _LARGEST_SIDE):
            raise ValueError(f"a film of {card.rows} x {card.columns} cells")
        if not (1 <= card.members <= _MOST and card.interval_ps > 0 and card.horizon_ps > 0):
            raise ValueError("members, interval or horizon that cannot be")
        return card
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise ModelError(
            f"latent network {path}: its metadata are missing or damaged ({error}). Write it "
            "again: skyctl train latent"
        ) from error
