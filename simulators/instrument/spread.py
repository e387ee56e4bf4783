"""How samples differ: parameters drawn from one sample to the next, and pinning defects in one."""

from dataclasses import dataclass, replace
from typing import Annotated, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator
from scipy import ndimage

from skyctl.pulse import Pulse
from skyctl.simulators.lattice.film import FilmParameters

_Relative = Annotated[FiniteFloat, Field(ge=0, lt=1)]


@dataclass(frozen=True)
class DrawnSample:
    """One sample.

    parameters : of its film
    field_calibration : what a pulse delivers, over what it was asked for

    Raises ValueError for a calibration that is not positive.
    """

    parameters: FilmParameters
    field_calibration: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.field_calibration < np.inf:
            raise ValueError(f"field calibration {self.field_calibration}: give a factor above 0")

    def delivered(self, pulse: Pulse) -> Pulse:
        """What this sample gets when ``pulse`` is fired."""
        return pulse.scaled(self.field_calibration)

    def __str__(self) -> str:
        p = self.parameters
        return (
            f"α {p.damping:.3f}, μ_s {p.moment_muB:.3f} μ_B, K {p.anisotropy_meV:.4f} meV, "
            f"D {p.dmi_meV:.4f} meV, field × {self.field_calibration:.3f}"
        )


class SampleSpread(BaseModel):
    """How far samples lie from the nominal one. Each parameter is drawn uniformly.

    A relative spread r draws nominal · (1 ± r). The draws of one seed do not depend on the
    spreads: setting one to 0 leaves the others as they were.

    Raises pydantic.ValidationError for NaN, an unknown name or a value out of range.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    damping: tuple[FiniteFloat, FiniteFloat] | None = Field(
        default=(0.08, 0.45), description="range of α; None keeps the nominal damping"
    )
    moment: _Relative = Field(default=0.15, description="relative spread of μ_s")
    anisotropy: _Relative = Field(default=0.08, description="relative spread of K")
    dmi: _Relative = Field(default=0.05, description="relative spread of D")
    field: _Relative = Field(default=0.05, description="relative spread of what a pulse delivers")

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if self.damping and not 0 <= self.damping[0] <= self.damping[1]:
            raise ValueError(f"damping {self.damping}: give its range as (lowest, highest), from 0")
        return self

    def draw(self, seed: int, nominal: FilmParameters | None = None) -> DrawnSample:
        """The sample of ``seed``, around ``nominal`` (None: the default film)."""
        film = nominal or FilmParameters()
        # One number a parameter, always all of them: see the class docstring.
        alpha, *relative = np.random.default_rng(seed).uniform(-1, 1, 5)
        moment, anisotropy, dmi, field = (
            float(1 + spread * u)
            for spread, u in zip(
                (self.moment, self.anisotropy, self.dmi, self.field), relative, strict=True
            )
        )
        low, high = self.damping or (film.damping, film.damping)
        parameters = replace(
            film,
            damping=float(low + (high - low) * (1 + alpha) / 2),
            moment_muB=film.moment_muB * moment,
            anisotropy_meV=film.anisotropy_meV * anisotropy,
            dmi_meV=film.dmi_meV * dmi,
        )
        return DrawnSample(parameters, field)


class PulseSpread(BaseModel):
    """Random pulses, each setting uniform in its range.

    Raises pydantic.ValidationError for a range that does not ascend or begins below 0.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    amplitude_T: tuple[FiniteFloat, FiniteFloat] = (1.0, 3.0)
    theta_deg: tuple[FiniteFloat, FiniteFloat] = (20.0, 60.0)
    width_ps: tuple[FiniteFloat, FiniteFloat] = (4.0, 48.0)

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        for name, (low, high) in self:
            if not 0 <= low <= high:
                raise ValueError(f"{name} {low:g} to {high:g}: give a range that ascends, from 0")
        return self

    def draw(self, seed: int) -> Pulse:
        """The pulse of ``seed``."""
        rng = np.random.default_rng(seed)
        return Pulse(**{name: rng.uniform(*limits) for name, limits in self})


def pinning_map(
    parameters: FilmParameters, count: int, strength: float, radius: float, seed: int = 0
) -> np.ndarray:
    """Anisotropy multiplier of each site, (rows, columns), with ``count`` pinning defects.

    count : defects, discs around as many different sites
    strength : relative change of K within them: +0.5 is half as much again, -1 is none
    radius : of a defect, sites; 0 is a single site. Discs that overlap do not add up, and in a
        periodic film they go over the edge
    seed : places them

    Raises ValueError for a count that the film has no sites for, or numbers out of range.
    """
    rows, columns = parameters.rows, parameters.columns
    if not 0 <= count <= rows * columns:
        raise ValueError(f"{count} pinning defects: give 0 to {rows * columns}, one a site")
    if not np.isfinite(strength):
        raise ValueError(f"pinning strength {strength}: give a finite relative change of K")
    if not 0 <= radius <= min(rows, columns) / 2:
        raise ValueError(
            f"pinning radius {radius} sites: give 0 to half of the film's shorter side"
        )
    multiplier = np.ones((rows, columns))
    if count == 0:
        return multiplier
    sites = np.random.default_rng(seed).choice(rows * columns, count, replace=False)
    free = np.ones((rows, columns), bool)
    free.flat[sites] = False
    margin = int(np.ceil(radius)) if parameters.periodic else 0
    padded = np.pad(free, margin, mode="wrap")
    distance = np.asarray(ndimage.distance_transform_edt(padded))
    distance = distance[margin : margin + rows, margin : margin + columns]
    multiplier[distance <= radius] = 1 + strength
    return multiplier
