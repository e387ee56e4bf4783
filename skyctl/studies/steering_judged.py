"""Steering judged: thin films that nobody measured, beside steering without network or learning."""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from skyctl.agents.campaign import Look, Stop
from skyctl.agents.field_sequences import FieldSequences, drawn_sequences, varied
from skyctl.agents.imagined_thin_film import ImaginedThinFilm
from skyctl.agents.steerer import GOOD_COST, HOLD, SWITCH, Steerer, SteeringCampaign, Wanted
from skyctl.agents.tasks import Proposal
from skyctl.belief import Belief
from skyctl.frame import Counts
from skyctl.inference.latent_film import Imagined, LatentFilm
from skyctl.pulse import Pulse
from skyctl.simulators.thin.film import ThinFilmParameters, s_state
from skyctl.simulators.thin.pulsed import PulsedThinFilm
from skyctl.simulators.thin.spread import drawn_film
from skyctl.verdict import ShotResult

SHOTS, RANDOM = 5, 12
TIMES_PS = np.arange(0.0, 1001.0, 10.0)
_FIRST_FILM = 5000
_LASTS_PS = 50.0


class _Sample:
    """One film; each shot begins in its S-state, as after a reset that a plan fires."""

    def __init__(self, parameters: ThinFilmParameters) -> None:
        self._film = PulsedThinFilm(parameters)
        self._start = self._film.spins

    def shoot(self, pulse: Pulse) -> np.ndarray:
        """⟨m⟩ of its movie, (frames, 3)."""
        self._film.film.magnetisation = self._start
        return np.array([m.mean((1, 2)) for m in self._film.frames(pulse, TIMES_PS.tolist())])


class _OfAnother:
    """The network taken away, and nothing else: what it says of a sequence is said of another.

    Interpolation cannot stand in its place: a sequence of two fields has six numbers, and the few
    hundred trajectories that were learned are of one field or of changing ones at random.
    """

    def __init__(self, network: LatentFilm) -> None:
        self.card, self.encode, self._imagine = network.card, network.encode, network.imagine
        self._rng = np.random.default_rng(13)

    def imagine(self, z: np.ndarray, fields_T: np.ndarray) -> Imagined:
        return self._imagine(z, fields_T[self._rng.permutation(len(fields_T))])


def drawn_wanted(number: int, nominal: ThinFilmParameters) -> Wanted:
    """What one life is after: a ⟨m⟩ at a time, a quiet switch, or no switch, in turns. The ⟨m⟩ is
    one that some sequence takes the nominal film to."""
    if number % 3:
        return SWITCH if number % 3 == 1 else HOLD
    rng = np.random.default_rng([77, number])
    at = int(rng.integers(30, 90))
    sequence = drawn_sequences(1, 0.041, 10.0 * at, rng)
    mean = _Sample(nominal).shoot(sequence.pulse(0))[at]
    x, y, z = (float(v) for v in mean)
    return Wanted((x, y, z), 10.0 * at, min(10.0 * at + _LASTS_PS, 1000.0))


def judge(
    network: LatentFilm,
    nominal: ThinFilmParameters,
    lives: Sequence[int],
    on_life: Callable[[str], object] = lambda told: None,
) -> dict[str, Any]:
    """Each way of steering at each life, SHOTS shots, and the RANDOM sequences of nobody."""
    found: list[dict[str, Any]] = []
    for number in lives:
        film, wanted = drawn_film(nominal, _FIRST_FILM + number), drawn_wanted(number, nominal)
        sample = _Sample(film)
        life = {"life": number, "wanted": wanted.as_json(), "film": film.as_dict()}
        start = s_state(nominal)
        for name, imagined, learns in (
            ("imagines and learns", network, True),
            ("imagines, learns nothing", network, False),
            ("imagines what others do", _OfAnother(network), True),
        ):
            imagines = ImaginedThinFilm(imagined, start, TIMES_PS, learns)
            life[name] = _steered(Steerer(wanted, imagines, seed=number), sample)
        life["climbs without a network"] = _climbed(wanted, sample, network, number)
        life["random"] = _random(wanted, sample, network, number)
        found.append(life)
        on_life(f"life {number}: " + ", ".join(
            f"{name} {min(told['costs'][:SHOTS]):.3f}" for name, told in life.items()
            if isinstance(told, dict) and "costs" in told
        ))  # fmt: skip
    names = (
        "imagines and learns",
        "imagines, learns nothing",
        "imagines what others do",
        "climbs without a network",
        "random",
    )
    return {
        "shots": SHOTS,
        "good": GOOD_COST,
        "ways": {name: _summary([life[name] for life in found]) for name in names},
        "lives": found,
    }


def _steered(agent: Steerer, sample: _Sample) -> dict[str, Any]:
    """A campaign, to where it is good enough or its shots are used up."""
    campaign = SteeringCampaign(agent, SHOTS, 3)
    thinking_s: list[float] = []
    start = sample.shoot(_nothing())[:1]
    while True:
        began = time.perf_counter()
        step = campaign.step(Belief())
        if isinstance(step, Stop):
            return {"costs": agent.costs, "factors": agent.film.factors, "thinking_s": thinking_s}
        if isinstance(step, Look):
            campaign.looked(_result(start))
            continue
        proposal: Proposal = step.proposal
        if not proposal.counts:
            campaign.fired(proposal, Belief(), _result(start))
            continue
        thinking_s.append(time.perf_counter() - began)
        campaign.fired(proposal, Belief(), _result(sample.shoot(proposal.pulse)))


def _nothing() -> Pulse:
    return Pulse(amplitude_T=0.0, width_ps=10.0)


def _result(mean: np.ndarray) -> ShotResult:
    rows = tuple((float(t), *m) for t, m in zip(TIMES_PS, mean.tolist(), strict=False))
    return ShotResult("", None, None, Counts(), "", (), mean_spins=rows)


def _climbed(wanted: Wanted, sample: _Sample, network: LatentFilm, seed: int) -> dict[str, Any]:
    """Without a network: one at random, then neighbours of the best so far."""
    rng = np.random.default_rng([11, seed])
    limits = network.card.strongest_T, wanted.to_ps, rng
    best = wanted.constrained(drawn_sequences(1, *limits), wanted.to_ps)
    costs = [_cost(wanted, sample, best)]
    for _ in range(SHOTS - 1):
        near = wanted.constrained(varied(best, 1, *limits), wanted.to_ps)
        cost = _cost(wanted, sample, near)
        best = near if cost < min(costs) else best
        costs.append(cost)
    return {"costs": costs}


def _random(wanted: Wanted, sample: _Sample, network: LatentFilm, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng([12, seed])
    drawn = drawn_sequences(RANDOM, network.card.strongest_T, wanted.to_ps, rng)
    drawn = wanted.constrained(drawn, wanted.to_ps)
    return {"costs": [_cost(wanted, sample, drawn.at(slice(k, k + 1))) for k in range(RANDOM)]}


def _cost(wanted: Wanted, sample: _Sample, sequence: FieldSequences) -> float:
    return float(wanted.cost(TIMES_PS, sample.shoot(sequence.pulse(0))))


def _summary(lives: Sequence[dict[str, Any]]) -> dict[str, Any]:
    best = [min(life["costs"][:SHOTS]) for life in lives]
    firsts = [life["costs"][0] for life in lives]
    every = [cost for life in lives for cost in life["costs"]]
    thinking = [seconds for life in lives for seconds in life.get("thinking_s", ())]
    return {
        "reached": sum(cost <= GOOD_COST for cost in best) / len(best),
        "best_of_shots_median": statistics.median(best),
        "first_shot_median": statistics.median(firsts),
        "all_shots_median": statistics.median(every),
        "thinking_s_median": statistics.median(thinking) if thinking else None,
    }
