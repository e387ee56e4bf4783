"""Steering judged: thin films that nobody measured, beside steering without network or learning."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from skyctl.agents.campaign import Look, Stop
from skyctl.agents.field_sequences import FieldSequences, drawn_sequences, varied
from skyctl.agents.imagined_thin_film import ImaginedThinFilm
from skyctl.agents.steerer import GOOD_COST, Steerer, SteeringCampaign
from skyctl.agents.tasks import Proposal
from skyctl.agents.wanted import HOLD, SWITCH, Goal, Wanted, WantedPicture
from skyctl.belief import Belief
from skyctl.frame import Counts, Frame
from skyctl.inference.latent_film import Imagined, LatentFilm
from skyctl.pulse import Pulse
from skyctl.simulators.thin.film import ThinFilmParameters, s_state
from skyctl.simulators.thin.pulsed import PulsedThinFilm
from skyctl.simulators.thin.spread import drawn_film
from skyctl.verdict import ShotResult

SHOTS, RANDOM = 5, 12
TIMES_PS = np.arange(0.0, 1001.0, 10.0)
_FIRST_FILM = 5000
_NOTHING = Pulse(amplitude_T=0.0, width_ps=10.0)
_LASTS_PS = 50.0
_STRONGEST_T = 0.041
GOALS = ("mean", "switch", "hold", "picture")


class _Sample:
    """One film; each shot begins in its S-state, as after a reset that a plan fires."""

    def __init__(self, parameters: ThinFilmParameters) -> None:
        self._film = PulsedThinFilm(parameters)
        self._start = self._film.spins

    def shoot(self, pulse: Pulse, kept_times_ps: Sequence[float] = ()) -> ShotResult:
        """What its movie shows."""
        self._film.film.magnetisation = self._start
        rows, kept = [], []
        for time_ps, m in zip(
            TIMES_PS.tolist(), self._film.frames(pulse, TIMES_PS.tolist()), strict=True
        ):
            rows.append((time_ps, *m.mean((1, 2)).tolist()))
            if time_ps in kept_times_ps:
                kept.append(Frame("", "", len(rows) - 1, time_ps, 0, m.astype(np.float32)))
        return ShotResult(
            "", None, None, Counts(), "", (), mean_spins=tuple(rows), kept=tuple(kept)
        )


class _OfAnother:
    """The network taken away, and nothing else: what it says of a sequence is said of another.

    Interpolation cannot stand in its place: a sequence of two fields has six numbers, and the few
    hundred trajectories that were learned are of one field or of changing ones at random.
    """

    def __init__(self, network: LatentFilm) -> None:
        self.card, self.encode, self.decode = network.card, network.encode, network.decode
        self._imagine = network.imagine
        self._rng = np.random.default_rng(13)

    def imagine(self, z: np.ndarray, fields_T: np.ndarray) -> Imagined:
        return self._imagine(z, fields_T[self._rng.permutation(len(fields_T))])


def drawn_wanted(number: int, nominal: ThinFilmParameters) -> tuple[str, Goal]:
    """What one life is after, and its name: ⟨m⟩ at a time, a quiet switch, no switch, a picture at
    a time, in turns. ⟨m⟩ and picture are of the nominal film under a sequence at random."""
    goal = GOALS[number % len(GOALS)]
    if goal in ("switch", "hold"):
        return goal, SWITCH if goal == "switch" else HOLD
    rng = np.random.default_rng([77, number])
    at_ps = 10.0 * rng.integers(*((20, 61) if goal == "picture" else (30, 90)))
    pulse = drawn_sequences(1, _STRONGEST_T, at_ps, rng).pulse(0)
    (frame,) = _Sample(nominal).shoot(pulse, [at_ps]).kept
    if goal == "picture":
        return goal, WantedPicture(frame.data, at_ps)
    x, y, z = (float(v) for v in frame.data.mean((1, 2), dtype=np.float64))
    return goal, Wanted((x, y, z), at_ps, min(at_ps + _LASTS_PS, 1000.0))


def judge(
    network: LatentFilm,
    nominal: ThinFilmParameters,
    lives: Sequence[int],
    on_life: Callable[[str], object] = lambda told: None,
) -> dict[str, Any]:
    """Each way of steering at each life, SHOTS shots, and the RANDOM sequences of nobody."""
    found: list[dict[str, Any]] = []
    for number in lives:
        film = drawn_film(nominal, _FIRST_FILM + number)
        goal, wanted = drawn_wanted(number, nominal)
        sample = _Sample(film)
        life = {"life": number, "goal": goal, "until_ps": wanted.until_ps, "film": film.as_dict()}
        if isinstance(wanted, Wanted):  # a picture is long, and drawn again by the life's number
            life["wanted"] = wanted.as_json()
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
        "goals": {
            goal: {
                name: _summary([life[name] for life in found if life["goal"] == goal])
                for name in names
            }
            for goal in dict.fromkeys(life["goal"] for life in found)
        },
        "lives": found,
    }


def _steered(agent: Steerer, sample: _Sample) -> dict[str, Any]:
    """A campaign, to where it is good enough or its shots are used up."""
    campaign = SteeringCampaign(agent, SHOTS, 3)
    thinking_s: list[float] = []  # of the processor: a busy machine's clock tells little
    wanted = agent.wanted
    at_rest = sample.shoot(_NOTHING, wanted.kept_times_ps)
    start = replace(at_rest, mean_spins=at_rest.mean_spins[:1])
    while True:
        began = time.process_time()
        step = campaign.step(Belief())
        if isinstance(step, Stop):
            return {
                "costs": agent.costs or [wanted.seen(at_rest)],
                "factors": agent.film.factors, "thinking_cpu_s": thinking_s, "reason": step.reason,
            }  # fmt: skip
        if isinstance(step, Look):
            campaign.looked(start)
            continue
        proposal: Proposal = step.proposal
        if not proposal.counts:
            campaign.fired(proposal, Belief(), start)
            continue
        thinking_s.append(time.process_time() - began)
        shown = sample.shoot(proposal.pulse, wanted.kept_times_ps)
        campaign.fired(proposal, Belief(), shown)


def _climbed(wanted: Goal, sample: _Sample, network: LatentFilm, seed: int) -> dict[str, Any]:
    """Without a network: one at random, then neighbours of the best so far."""
    rng = np.random.default_rng([11, seed])
    until = wanted.until_ps
    limits = network.card.strongest_T, until, rng
    best = drawn_sequences(1, *limits).led_by(wanted.first, until)
    costs = [_cost(wanted, sample, best)]
    for _ in range(SHOTS - 1):
        near = varied(best, 1, *limits).led_by(wanted.first, until)
        cost = _cost(wanted, sample, near)
        best = near if cost < min(costs) else best
        costs.append(cost)
    return {"costs": costs}


def _random(wanted: Goal, sample: _Sample, network: LatentFilm, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng([12, seed])
    drawn = drawn_sequences(RANDOM, network.card.strongest_T, wanted.until_ps, rng)
    drawn = drawn.led_by(wanted.first, wanted.until_ps)
    return {"costs": [_cost(wanted, sample, drawn.at(slice(k, k + 1))) for k in range(RANDOM)]}


def _cost(wanted: Goal, sample: _Sample, sequence: FieldSequences) -> float:
    cost = wanted.seen(sample.shoot(sequence.pulse(0), wanted.kept_times_ps))
    assert cost is not None  # the frame it needs was kept
    return cost


def _summary(lives: Sequence[dict[str, Any]]) -> dict[str, Any]:
    best = [min(life["costs"][:SHOTS]) for life in lives]
    firsts = [life["costs"][0] for life in lives]
    every = [cost for life in lives for cost in life["costs"]]
    thinking = [seconds for life in lives for seconds in life.get("thinking_cpu_s", ())]
    return {
        "reached": sum(cost <= GOOD_COST for cost in best) / len(best),
        "best_of_shots_median": statistics.median(best),
        "first_shot_median": statistics.median(firsts),
        "all_shots_median": statistics.median(every),
        "thinking_cpu_s_median": statistics.median(thinking) if thinking else None,
    }
