"""The simulated film of `skyctl run`: which one it is, and what cannot be done with it."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from skyctl.cli.common import values_checked
from skyctl.cli.simulate.lattice_film import named_film, shape_of

if TYPE_CHECKING:
    from skyctl.devices.guard import Envelope
    from skyctl.simulators.instrument.spread import DrawnSample
    from skyctl.simulators.lattice.film import FilmParameters


@dataclass(frozen=True)
class RunFilm:
    """What the options say; the names are the options'. Misuse ends the command with status 2."""

    name: str = "paper"
    size: str | None = None
    settings: list[str] | None = None
    shape: str | None = None
    sample_seed: int | None = None
    start: str = "empty"

    @cached_property
    def nominal(self) -> "FilmParameters":
        """The film of --film, --size and --set."""
        with values_checked():
            return named_film(self.name, self.size, self.settings)

    @cached_property
    def sites(self) -> np.ndarray | None:
        """The sites of --shape, None where it is left out."""
        with values_checked():
            return shape_of(self.shape, self.nominal.rows, self.nominal.columns)

    @cached_property
    def sample(self) -> "DrawnSample":
        """The nominal film, or one drawn round it by --sample."""
        from skyctl.simulators.instrument.spread import DrawnSample, SampleSpread

        if self.sample_seed is None:
            return DrawnSample(self.nominal)
        return SampleSpread().draw(self.sample_seed, self.nominal)

    @property
    def envelope(self) -> "Envelope":
        """The default one, with spots anywhere on this film."""
        from skyctl.devices.guard import Envelope

        rows, columns = float(self.nominal.rows), float(self.nominal.columns)
        return Envelope(spot_x=(0.0, columns), spot_y=(0.0, rows))

    @property
    def outside_library(self) -> str:
        """Why the agents' library of samples is not of this film, or ""."""
        from skyctl.agents.switching_library import SwitchingLibrary

        return SwitchingLibrary.load().outside(self.sample.parameters.as_dict(), self.sites)

    def forbids(self, plan: str, rehearse: int) -> str:
        """Why a plan, or its rehearsal, is not for this film, or ""."""
        from skyctl.simulators.lattice.film import FilmParameters

        if plan == "characterise" and (self.nominal != FilmParameters() or self.sites is not None):
            return (
                "characterise compares a sample with twins of the default film, and would find "
                "wrong numbers for this one. Leave --film, --size, --set and --shape out"
            )
        if rehearse and self.outside_library:
            return (
                f"--rehearse: its twins are drawn from the library, and {self.outside_library}. "
                "Leave it out, or try --mode dry-run"
            )
        return ""
