"""`reach` judged: three skyrmions at given places on unseen samples, beside two baselines and
without each of its parts."""

import contextlib
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from skyctl.agents.allowed import Allowed
from skyctl.agents.campaign import Campaign
from skyctl.agents.reacher import LEAST_APART, Misses, Place, Reacher, Target
from skyctl.agents.tasks import Proposal
from skyctl.belief import Belief
from skyctl.devices.guard import Envelope
from skyctl.inference.film_reader import read_film
from skyctl.simulators.instrument.spread import SampleSpread
from skyctl.studies.network_lives import Variant, in_its_place
from skyctl.studies.rig import Conditions, Rig, run_campaign
from skyctl.verdict import FilmState

PULSES = 20
_FIRST_SAMPLE = 70_000
_NUMBER, _FROM_EDGE = 3, 22.0


class AtRandom(Reacher):
    """Baseline: the same pulses, at places drawn anew, until looks show the target."""

    name = "at-random"

    def __init__(self, target: Target, allowed: Allowed | None = None, seed: int = 0) -> None:
        super().__init__(target, allowed)
        self._rng = np.random.default_rng(seed)

    def suggest(self, belief: Belief) -> Proposal | None:
        """As the reacher's, elsewhere."""
        proposal = super().suggest(belief)
        if proposal is None or proposal.pulse.spot is None:
            return proposal
        x, y = self._rng.uniform(_FROM_EDGE, 100 - _FROM_EDGE, 2)
        spot = proposal.pulse.spot.model_copy(update={"x": float(x), "y": float(y)})
        pulse = proposal.pulse.model_copy(update={"spot": spot})
        return Proposal(proposal.action, pulse, "at random", look_after=True)


class Blind(Reacher):
    """Baseline: what it is without its looks. A pulse at each place, and then it says so."""

    name = "blind"

    def __init__(self, target: Target, allowed: Allowed | None = None, seed: int = 0) -> None:
        super().__init__(target, allowed)
        self._left = list(target.places)

    def reached(self, belief: Belief) -> bool:
        """Once each place had its pulse."""
        return not self._left

    def suggest(self, belief: Belief) -> Proposal | None:
        """The next place's pulse."""
        self._film = FilmState(self.target.background, 0, 0, 0)
        self.target = Target((self._left.pop(0),), self.target.background)
        return super().suggest(belief)


class Unheld(Rig):
    """Fires on where the interlock holds: a simulated film takes no harm."""

    @property
    def held(self) -> str:
        """Nothing."""
        return ""


@dataclass(frozen=True)
class Judged:
    """Who drives, and what is taken away. make : (target, allowed, seed) → agent
    network : the network, or what stands in its place, or blank looks (``network_lives``)
    rig : ``Unheld`` fires whatever the interlock says
    noiseless : looks and movies show the film as it truly is"""

    make: Callable[[Target, Allowed, int], Reacher] = lambda target, allowed, _: Reacher(
        target, allowed
    )
    network: Variant = "network"
    rig: type[Rig] = Rig
    noiseless: bool = False


AGENTS: dict[str, Judged] = {
    "reacher": Judged(),
    "network at random": Judged(network="random labels"),
    "network at random, not held": Judged(network="random labels", rig=Unheld),
    "network that tells nothing, not held": Judged(network="uniform", rig=Unheld),
    "film as it truly is": Judged(noiseless=True),
    "network, looks blank": Judged(network="looks blinded"),
    "at random": Judged(AtRandom),
    "without looks": Judged(Blind),
}


def drawn_target(seed: int, number: int = _NUMBER, side: int = 100) -> Target:
    """Places apart from each other and the edges."""
    rng = np.random.default_rng(seed)
    places: list[Place] = []
    while len(places) < number:
        x, y = (float(v) for v in rng.uniform(_FROM_EDGE, side - 1 - _FROM_EDGE, 2))
        if all(np.hypot(x - u, y - v) >= LEAST_APART + 4 for u, v in places):
            places.append((round(x, 1), round(y, 1)))
    return Target(tuple(places), 1 if seed % 2 else -1)


def judge(
    samples: Sequence[int],
    agents: Sequence[str] = tuple(AGENTS),
    noise: float = 0.1,
    on_life: Callable[[str], object] = lambda told: None,
) -> dict[str, Any]:
    """Each agent at each sample, from an empty film that may point either way.

    Whether the target was reached is told by the film itself, without the camera's noise.
    """
    lives = {name: [_life(name, number, noise, on_life) for number in samples] for name in agents}
    return {
        "samples": len(samples),
        "noise": noise,
        "agents": {name: {**_summary(found), "lives": found} for name, found in lives.items()},
    }


def _life(name: str, number: int, noise: float, on_life: Callable[[str], object]) -> dict[str, Any]:
    sample, target = SampleSpread().draw(_FIRST_SAMPLE + number), drawn_target(number)
    allowed, who = Allowed.from_envelope(Envelope().model_dump()), AGENTS[name]
    rig = who.rig(
        sample,
        Conditions(noise=0.0 if who.noiseless else noise),
        number,
        model=in_its_place(who.network, number),
        blind=who.network == "looks blinded",
    )
    with contextlib.closing(rig):
        rig.film.set_uniform(-1)
        rig.film.settle()
        campaign = Campaign(who.make(target, allowed, number), PULSES)
        stop = run_campaign(campaign, rig)
        truth = read_film(rig.film.spins[2].astype(np.float32))
    misses = Misses.of(truth, target)
    there = not (misses.missing or misses.extra or truth.domains)
    told = {
        "sample": number,
        "said": stop.reached,
        "reached": bool(there and truth.background == target.background),
        "pulses": campaign.pulses,
        "reason": stop.reason,
    }
    on_life(f"{name}: {told}")
    return told


def _summary(lives: list[dict[str, Any]]) -> dict[str, float]:
    true = [life for life in lives if life["said"] and life["reached"]]
    return {
        "reached": len(true) / len(lives),
        "said_and_not_so": sum(life["said"] and not life["reached"] for life in lives),
        "median_pulses": statistics.median(
            life["pulses"] if life in true else PULSES + 1 for life in lives
        ),
    }
