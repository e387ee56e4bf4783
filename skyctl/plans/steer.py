"""The plan that steers a thin film: imagine sequences of fields, fire the best, see, learn."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from skyctl.agents.imagined_thin_film import ImaginedThinFilm, Network
from skyctl.agents.steerer import Steerer, SteeringCampaign
from skyctl.agents.wanted import Goal
from skyctl.plans.campaign import TaskReport, pursue
from skyctl.plans.modes import Oversight
from skyctl.plans.plans import agent_facts, allowed, in_one_run
from skyctl.plans.protocols import Beamline, require_open
from skyctl.plans.stubs import Plan

_RESETS = 3


@dataclass(frozen=True)
class SteerReport:
    """How a film was steered.

    task : what was fired, and whether it reached what was wanted
    costs : of each shot, as its movie showed it; shots : their names, in the same order
    factors : of field and time, by which the film differs from the network's
    """

    task: TaskReport
    costs: tuple[float, ...]
    shots: tuple[str, ...]
    factors: tuple[float, float]

    @property
    def reached(self) -> bool:
        """Whether a shot's cost was good enough."""
        return self.task.reached

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            **self.task.as_json(), "costs": list(self.costs), "factors": list(self.factors),
        }  # fmt: skip


def steer_film(
    beamline: Beamline,
    wanted: Goal,
    network: Network,
    start: np.ndarray,
    *,
    shots: int = 5,
    seed: int = 0,
    oversight: Oversight | None = None,
    md: dict[str, Any] | None = None,
) -> Plan[SteerReport]:
    """Bring a thin film where it is wanted, by sequences of two fields.

    Before each shot the film is brought back to its S-state by a strong field. The camera must show
    all three components.

    Parameters
    ----------
    beamline : Beamline
        See `skyctl.beamline`.
    wanted : Wanted or WantedPicture
        The course that ⟨m⟩ is to take, or what the camera is to show at a time.
    network : Network
        A latent network of a film like this one (`skyctl.inference.latent_film.LatentFilm`).
    start : numpy.ndarray
        The S-state, (3, rows, columns).
    shots : int, optional
        How many sequences may be fired.
    seed : int, optional
        Of the sequences that are drawn.
    oversight : Oversight, optional
        How far the plan goes on its own, and who approves; autonomous unless given.
    md : dict, optional
        Facts for the start document.

    Returns
    -------
    SteerReport
        Whether a movie showed what was wanted, the shots it took and what each cost.

    Raises
    ------
    ValueError
        For what movies of this film cannot show, and a camera that does not show all components.
    """
    require_open(beamline)
    if (shown := beamline.camera.describe_sample().get("component", "spins")) != "spins":
        raise ValueError(
            f"the camera shows {shown}: an agent that steers needs all three components. Let the "
            'sample send them, component="spins"'
        )
    film = ImaginedThinFilm(network, start, np.array(beamline.camera.movie.times_ps))
    steerer = Steerer(wanted, film, allowed(beamline), seed=seed)
    campaign = SteeringCampaign(steerer, shots, _RESETS)

    def body() -> Plan[SteerReport]:
        beamline.streaming.kept_times_ps = wanted.kept_times_ps
        try:
            task = yield from pursue(beamline, campaign, oversight, slow=True)
        finally:
            beamline.streaming.kept_times_ps = ()
        return SteerReport(task, tuple(steerer.costs), tuple(steerer.shots), film.factors)

    arguments = {
        "shots": shots, "seed": seed, "wanted": wanted.as_json(),
        "network_sha256": list(network.card.files_sha256),
    }  # fmt: skip
    facts = agent_facts(beamline, arguments, oversight)
    return (yield from in_one_run("steer_film", beamline, body, md, facts))
