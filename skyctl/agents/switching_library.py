"""What is known of switching before a sample was ever pulsed, and what its shots then add."""

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from skyctl.agents.library_file import LibraryError, read_library
from skyctl.agents.outcome import SzSignals, likeliest
from skyctl.process import OUTCOMES, SWITCHING, Outcome
from skyctl.pulse import Pulse

_FILE = "switching.npz"
PULSE_COLUMNS = ("amplitude_T", "theta_deg", "width_ps")
"""Numbers of a pulse that the library varies: the columns of ``pulses``."""
_OF_SAMPLES = ("damping", "moment_muB", "anisotropy_meV", "dmi_meV")
"""What the first columns of ``samples`` are called in a film's facts."""
_ALONG_Z = (0.0, 0.0, 1.0)
_SWITCHING = OUTCOMES.index(SWITCHING)
_MARGIN = 0.1
_SURPRISE = 0.1
"""Share of shots that do something else than the library has it, whatever that is."""
_FLIP_BLUR_PS = 1.0
_FURTHEST_BLUR = 0.03
_SIZE_BLUR = 0.12
"""What camera, temperature and place of the skyrmion add to the library's own spread."""
_ALIKE = (0.05, 5.0, 0.08)
"""Pulses this far apart, in ln B0, degrees and ln width, often do the same at one sample."""
_ALIKE_SHARE = 0.8
_NARROWEST = 0.05
"""Weight that stays with the library as a whole: no sample is exactly one of it."""


@dataclass(frozen=True, eq=False)
class SwitchingLibrary:
    """Simulated samples × pulses: the chances of each outcome, and what the camera would see.

    samples : (samples, 5), α, μ_s (μ_B), K (meV), D (meV), field calibration; for reports only
    pulses : (pulses, 3), their PULSE_COLUMNS, the background being -1
    chances : (samples, pulses, len(OUTCOMES)) probabilities
    flip_ps, furthest : (samples, pulses) expected `Signals`
    log_size : (samples,) natural logarithm of the sites of the relaxed skyrmion
    spread : standard deviations of flip_ps, furthest and log_size about what is expected
    about : the command that makes the file again, versions, and how good the fit was
    sha256 : of the file
    """

    samples: np.ndarray
    pulses: np.ndarray
    chances: np.ndarray
    flip_ps: np.ndarray
    furthest: np.ndarray
    log_size: np.ndarray
    spread: dict[str, float]
    about: dict[str, Any]
    sha256: str

    @classmethod
    def load(cls, path: Path | None = None) -> "SwitchingLibrary":
        """Read what `skyctl train seeker` wrote; None: the shipped one, read once.

        Raises LibraryError for anything else.
        """
        return _read(path) if path else _shipped()

    @cached_property
    def as_pulses(self) -> tuple[Pulse, ...]:
        """``pulses``, for a film that points along -z."""
        return tuple(
            Pulse.model_validate(dict(zip(PULSE_COLUMNS, row, strict=True)))
            for row in self.pulses.tolist()
        )

    @property
    def made_for(self) -> str:
        """The films of its samples, in words."""
        low, high = self.samples.min(axis=0), self.samples.max(axis=0)
        ranges = ", ".join(
            f"{name} {a:.3g} … {b:.3g}" for name, a, b in zip(_OF_SAMPLES, low, high, strict=False)
        )
        return (
            "whole films without a steady field, with open edges, bulk DMI and their easy axis "
            f"along z, of {ranges}"
        )

    def outside(self, film: Mapping[str, Any], sites: np.ndarray | None = None) -> str:
        """Why a film is none that this was made for, or ""; it may still learn it, from more shots.

        film : its plain facts, as a start document has them: ``damping``, ``dmi_meV``, …
        sites : where it has a spin, (rows, columns); None is everywhere
        """
        if "dmi_meV" not in film:
            return f"the switching library is of {self.made_for}; this is another kind of film"
        faults = [
            f"{name} is {film[name]:.3g}"
            for name, low, high in zip(
                _OF_SAMPLES, self.samples.min(axis=0), self.samples.max(axis=0), strict=False
            )
            if name in film and not _near(film[name], low, high)
        ]
        if film.get("interfacial_dmi_meV"):
            faults.append(f"interfacial_dmi_meV is {film['interfacial_dmi_meV']:.3g}")
        if tuple(film.get("easy_axis", _ALONG_Z)) != _ALONG_Z:
            faults.append("its easy axis is not z")
        if film.get("periodic"):
            faults.append("it is periodic")
        if np.any(film.get("bias_T", 0.0)):
            faults.append("it is in a field")
        if sites is not None:
            faults.append(f"{(~sites).mean():.0%} of its sites are missing")
        if not faults:
            return ""
        return f"the switching library is of {self.made_for}; of this one {', '.join(faults)}"

    @cached_property
    def alike(self) -> np.ndarray:
        """(pulses, pulses) `alikeness` of each two."""
        return np.hstack([alikeness(self.pulses, pulse[None]) for pulse in self.pulses])


def alikeness(pulses: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(pulses, 1) how like another pulse (1, 3) each is: 1 for the same, 0 for nothing alike."""
    off = np.column_stack(
        [
            np.log(pulses[:, 0] / other[:, 0]),
            pulses[:, 1] - other[:, 1],
            np.log(pulses[:, 2] / other[:, 2]),
        ]
    )
    return np.exp(-((off / np.array(_ALIKE)) ** 2).sum(axis=1, keepdims=True) / 2)


def _near(value: float, low: float, high: float) -> bool:
    """Whether a number is among those of samples: they were drawn, and hardly at their limits."""
    margin = _MARGIN * (high - low)
    return low - margin <= value <= high + margin


@lru_cache(maxsize=1)
def _shipped() -> SwitchingLibrary:
    return _read(None)


def _read(path: Path | None) -> SwitchingLibrary:
    return read_library(
        path, _of_arrays, shipped=_FILE, what="switching library", command="skyctl train seeker"
    )


def _of_arrays(file: dict[str, np.ndarray], sha256: str) -> SwitchingLibrary:
    texts = {key: json.loads(str(file.pop(key))) for key in ("spread", "about")}
    arrays = {key: array.astype(np.float64) for key, array in file.items()}
    return SwitchingLibrary(**arrays, **texts, sha256=sha256)


@dataclass(frozen=True)
class Evidence:
    """One shot at a skyrmion: which of the library's pulses, and what came of it.

    outcomes : (len(OUTCOMES),) probabilities
    """

    pulse: int
    outcomes: tuple[float, ...]
    signals: SzSignals

    @property
    def outcome(self) -> Outcome:
        """The likeliest."""
        return likeliest(np.array(self.outcomes))


class SwitchBelief:
    """How likely each sample of the library is the one under the camera, from its shots.

    The posterior weights come from Bayes' rule: each shot's outcome, when half of the film had
    turned over and how far it turned, and the size of the skyrmion at rest. What the library does
    not resolve is alike for pulses that are alike (`alike`): a pulse that missed is likely to
    miss again, and so are those next to it.
    """

    def __init__(self, library: SwitchingLibrary | None = None) -> None:
        self.library = library or SwitchingLibrary.load()
        self.evidence: list[Evidence] = []
        self._sizes: list[tuple[int, float]] = []  # (shots before it, ln of the sites)
        self._from_shots = np.zeros(len(self.library.samples))

    def saw_skyrmion(self, sites: int) -> None:
        """Take in how large the relaxed skyrmion is seen."""
        if sites > 0:
            self._sizes.append((len(self.evidence), math.log(sites)))

    def saw(self, evidence: Evidence) -> None:
        """Take in a shot."""
        library, seen = self.library, evidence.signals
        chances = library.chances[:, evidence.pulse] @ np.array(evidence.outcomes)
        self._from_shots += np.log((1 - _SURPRISE) * chances + _SURPRISE / len(OUTCOMES))
        for value, expected, blur in (
            (seen.flip_ps, library.flip_ps, math.hypot(library.spread["flip_ps"], _FLIP_BLUR_PS)),
            (
                seen.furthest if math.isnan(seen.flip_ps) else math.nan,
                library.furthest,
                math.hypot(library.spread["furthest"], _FURTHEST_BLUR),
            ),
        ):
            if math.isfinite(value):
                self._from_shots += _log_student((value - expected[:, evidence.pulse]) / blur)
        self.evidence.append(evidence)

    @property
    def log_sizes(self) -> list[float]:
        """ln of the sites of the skyrmion at rest, each time it was seen."""
        return [size for _, size in self._sizes]

    @property
    def weights(self) -> np.ndarray:
        """(samples,) posterior weights, which sum to 1."""
        library, log_weights = self.library, self._from_shots.copy()
        if sizes := self.log_sizes:  # one skyrmion seen again and again is one observation
            blur = math.hypot(library.spread["log_size"], _SIZE_BLUR)
            log_weights += _log_student((np.mean(sizes) - library.log_size) / blur)
        weights = np.exp(log_weights - log_weights.max())
        return (1 - _NARROWEST) * weights / weights.sum() + _NARROWEST / len(weights)

    def chances(self) -> np.ndarray:
        """(pulses, len(OUTCOMES)) probabilities of what each pulse would do now."""
        chances = np.tensordot(self.weights, self.library.chances, 1)
        for evidence in self.evidence:
            share = _ALIKE_SHARE * self.library.alike[evidence.pulse][:, None]
            chances = (1 - share) * chances + share * np.array(evidence.outcomes)
        return chances

    def fired(self) -> str:
        """What was fired and what came of it, for a person to read."""
        if not self.evidence:
            return "0 shots"
        found = Counter(each.outcome for each in self.evidence)
        pulses = self.library.pulses[[each.pulse for each in self.evidence]]
        ranges = ", ".join(
            f"{setting.min():g} … {setting.max():g}{unit}"
            for setting, unit in zip(pulses.T, (" T", "°", " ps"), strict=True)
        )
        outcomes = ", ".join(f"{count} {name}" for name, count in found.most_common())
        return f"{len(self.evidence)} shots ({outcomes}) of {ranges}"

    def of_shots(self, first: int, end: int) -> "SwitchBelief":
        """What the shots from ``first`` up to ``end``, and looks between them, say alone."""
        belief = SwitchBelief(self.library)
        for evidence in self.evidence[first:end]:
            belief.saw(evidence)
        last = end if end < len(self.evidence) else end + 1
        belief._sizes = [
            (shots - first, size) for shots, size in self._sizes if first <= shots < last
        ]
        return belief

    def estimate(self) -> dict[str, tuple[float, float]]:
        """Posterior mean and standard deviation of each parameter of the sample."""
        mean = self.weights @ self.library.samples
        deviation = np.sqrt(self.weights @ (self.library.samples - mean) ** 2)
        names = ("damping", "moment_muB", "anisotropy_meV", "dmi_meV", "field_calibration")
        return {n: (float(m), float(d)) for n, m, d in zip(names, mean, deviation, strict=True)}

    def as_json(self) -> dict[str, Any]:
        """All that was seen, plain values, for `from_json`."""
        shots = [
            {
                "pulse": each.pulse,
                "outcomes": list(each.outcomes),
                "signals": [None if math.isnan(v) else v for v in vars(each.signals).values()],
            }
            for each in self.evidence
        ]
        sizes = [list(size) for size in self._sizes]
        return {"sha256": self.library.sha256, "sizes": sizes, "shots": shots}

    @classmethod
    def from_json(
        cls, saved: dict[str, Any], library: SwitchingLibrary | None = None
    ) -> "SwitchBelief":
        """What `as_json` saved, the same to the last bit.

        Raises LibraryError where that was with another library, KeyError for what is missing.
        """
        belief = cls(library)
        if saved["sha256"] != belief.library.sha256:
            raise LibraryError(
                f"memory of a sample: made with switching library {saved['sha256'][:12]}, this one "
                f"is {belief.library.sha256[:12]}. Use the same version of skyctl."
            )
        for shot in saved["shots"]:
            values = [math.nan if v is None else float(v) for v in shot["signals"]]
            outcomes = tuple(float(each) for each in shot["outcomes"])
            belief.saw(Evidence(int(shot["pulse"]), outcomes, SzSignals(*values)))
        belief._sizes = [(int(shots), float(size)) for shots, size in saved["sizes"]]
        return belief


def _log_student(z: np.ndarray) -> np.ndarray:
    """Logarithm of Student's t with 4 degrees of freedom, up to a constant: one number far out
    must not decide alone.
    """
    return -2.5 * np.log1p(z**2 / 4)
