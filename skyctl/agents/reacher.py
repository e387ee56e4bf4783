"""Reacher: writes and erases with local pulses until the skyrmions stand where they are wanted.

It sees what looks show, and nothing of the sample: no model of it, and no network's word for what a
pulse did at which place.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from skyctl.agents.allowed import Allowed
from skyctl.agents.bracket import Bracket
from skyctl.agents.tasks import Proposal, against
from skyctl.belief import Belief
from skyctl.pulse import Pulse, Spot
from skyctl.verdict import FilmState, ShotResult

Place = tuple[float, float]
"""(x, y) in sites, from the centre of the first site."""
NEAR_SITES = 3.0
"""How far from its place a skyrmion may stand."""
LEAST_APART = 20.0
"""Sites between two places: closer, the pulse that writes one reaches the other."""
_ITS_OWN = 12.0
"""Sites from a place within which a skyrmion is that place's, at the wrong spot."""
_EMPTY_ALL = Pulse(amplitude_T=3.0, width_ps=30.0, theta_deg=20.0)
_EMPTY_SPOT = Pulse(amplitude_T=4.0, width_ps=30.0, theta_deg=180.0)
_EMPTY_SIGMA = 8.0
_WRITE = Pulse(amplitude_T=12.0, width_ps=26.0, theta_deg=15.0)
"""Narrow, strong and along the core: on six samples what it writes stood within 2 sites of its aim,
and a skyrmion 26 sites away moved by 0.4 to 2.1. Wider spots pushed that off by more, or ended it.
"""
_WRITE_SIGMA = 3.0
_WRITE_T = (1.0, 12.0, _WRITE.amplitude_T, 0.3)
_LANDS_SHORT = (0.8, -1.0)
"""Sites (x, y) from the spot to what it writes, in a film that points down."""


@dataclass(frozen=True)
class Target:
    """Skyrmions at places, in a film whose background points along ``background``, +1 or -1: each
    core points against it.

    Raises ValueError for places that are too near each other, or no background.
    """

    places: tuple[Place, ...]
    background: int = -1

    def __post_init__(self) -> None:
        if self.background not in (-1, 1):
            raise ValueError(f"target background {self.background}: give +1 or -1")
        if not np.isfinite(self.places).all():
            raise ValueError(f"target places {self.places}: give finite numbers, in sites")
        for k, one in enumerate(self.places):
            for other in self.places[k + 1 :]:
                apart = float(np.hypot(one[0] - other[0], one[1] - other[1]))
                if apart < LEAST_APART:
                    raise ValueError(
                        f"target places {one} and {other} are {apart:.1f} sites apart: give "
                        f"{LEAST_APART:g} or more"
                    )

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"places": [list(place) for place in self.places], "background": self.background}

    @classmethod
    def from_json(cls, saved: dict[str, Any]) -> "Target":
        """What ``as_json`` gave. Raises KeyError, ValueError."""
        try:
            places = tuple((x, y) for x, y in saved["places"])
        except (TypeError, ValueError):
            raise ValueError(
                f"target places {saved['places']}: give each as [x, y], in sites"
            ) from None
        return cls(places, saved["background"])


@dataclass(frozen=True)
class Misses:
    """What a film lacks of a target. missing, extra : places of the target, and of skyrmions that
    belong to none."""

    missing: tuple[Place, ...]
    extra: tuple[Place, ...]

    @classmethod
    def of(cls, film: FilmState, target: Target) -> "Misses":
        """The places are paired so that the sum of all distances is least."""
        found = [(x, y) for x, y, _ in film.places]
        distances = np.array(
            [[np.hypot(x - u, y - v) for u, v in found] for x, y in target.places]
        ).reshape(len(target.places), len(found))
        pairs = zip(*linear_sum_assignment(np.minimum(distances, _ITS_OWN)), strict=True)
        good = [(i, j) for i, j in pairs if distances[i, j] <= NEAR_SITES]
        met, used = {i for i, _ in good}, {j for _, j in good}
        return cls(
            tuple(place for i, place in enumerate(target.places) if i not in met),
            tuple(place for j, place in enumerate(found) if j not in used),
        )


class Reacher:
    """An `Agent` that brings a film to a `Target`.

    First the background is turned and what is no skyrmion is emptied, by a pulse on the whole film;
    then what stands at no place is erased; then what is missing is written. Each pulse is followed
    by a look. A pulse that wrote nothing near its place is made stronger, one that made more than a
    skyrmion weaker.
    """

    task = "reach"
    name = "reacher"
    seed: int | None = None
    library_sha256 = ""

    def __init__(self, target: Target, allowed: Allowed | None = None) -> None:
        self.target = target
        self.gave_up = ""
        self._allowed = allowed or Allowed()
        self._film: FilmState | None = None
        self._write_T = Bracket(*_WRITE_T)
        low, high = self._allowed.amplitude_T
        self._write_T.narrow(low, high)
        self._aim: dict[Place, Place] = {}
        """Where the pulse of a place goes, corrected by where its skyrmion came to stand."""

    def reached(self, belief: Belief) -> bool:
        """Whether the last look shows every skyrmion within NEAR_SITES of its place, no other, and
        the background that is wanted."""
        film = self._film
        if film is None or film.domains or film.background != self.target.background:
            return False
        misses = Misses.of(film, self.target)
        return not (misses.missing or misses.extra)

    def suggest(self, belief: Belief) -> Proposal | None:
        """The next pulse; None to give up: ``gave_up`` says why."""
        self.gave_up = ""
        film = self._film
        if film is None:
            self.gave_up = "reach: no look has shown the film"
            return None
        chosen = self._chosen(film)
        if isinstance(chosen, Proposal):
            pulse = self._allowed.clamp(chosen.pulse)
            if not (why_not := self._allowed.why_not(pulse)):
                self._film = None
                return replace(chosen, pulse=pulse, look_after=True)
            chosen = f"{chosen.action}: the envelope does not allow {pulse}: {why_not}"
        self.gave_up = chosen
        return None

    def probe(self, belief: Belief) -> Proposal | None:
        """None: only a look shows places."""
        self.gave_up = "reach: looks show no places"
        return None

    def saw(self, look: ShotResult) -> None:
        """A look at the film at rest: where its skyrmions are."""
        self._film = look.state

    def ingest(self, proposal: Proposal, before: Belief, result: ShotResult, after: Belief) -> None:
        """Learn from where the skyrmion came to stand that a pulse was to write."""
        film, spot = self._film, proposal.pulse.spot
        if proposal.action != "write" or spot is None or film is None:
            return
        aim = min(
            self.target.places, key=lambda place: _apart(self._aimed(place), (spot.x, spot.y))
        )
        near = [(x, y) for x, y, _ in film.places if _apart((x, y), aim) <= _ITS_OWN]
        if len(near) == 1:
            self._write_T.worked()
            x, y = self._aimed(aim)
            self._aim[aim] = (x + aim[0] - near[0][0], y + aim[1] - near[0][1])
        elif near or film.domains:
            self._write_T.too_much()
        else:
            self._write_T.too_little()

    def failed(self, proposal: Proposal) -> None:
        """It was not fired, or nobody saw what it did: the next look tells."""

    def _aimed(self, place: Place) -> Place:
        # Half a turn about x, which turns the background over, turns y as well (``against``).
        x, y = _LANDS_SHORT[0], -self.target.background * _LANDS_SHORT[1]
        return self._aim.get(place, (place[0] - x, place[1] - y))

    def _chosen(self, film: FilmState) -> Proposal | str:
        wanted = self.target.background
        misses = Misses.of(film, self.target)
        if film.background != wanted or film.domains:
            why = "the background points the other way" if not film.domains else f"there is {film}"
            return Proposal("erase", against(-wanted, _EMPTY_ALL), f"{why}: the whole film")
        if misses.extra:
            x, y = misses.extra[0]
            spot = Spot(x=x, y=y, sigma=_EMPTY_SIGMA)
            pulse = against(wanted, _EMPTY_SPOT).model_copy(update={"spot": spot})
            return Proposal("erase", pulse, f"the skyrmion at ({x:.0f}, {y:.0f}) is at no place")
        if self._write_T.exhausted:
            return f"write: {self._write_T.missed('T')}"
        x, y = self._aimed(misses.missing[0])
        pulse = _WRITE.model_copy(
            update={
                "amplitude_T": round(self._write_T.guess, 2),
                "spot": Spot(x=x, y=y, sigma=_WRITE_SIGMA),
            }
        )
        there = f"nothing at ({misses.missing[0][0]:.0f}, {misses.missing[0][1]:.0f})"
        return Proposal("write", against(wanted, pulse), there)


def _apart(one: Place, other: Place) -> float:
    return float(np.hypot(one[0] - other[0], one[1] - other[1]))
