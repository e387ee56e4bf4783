"""The plan that maps a process diagram: many shots in one run, each where it teaches most."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from skyctl.agents.boundary_mapper import BoundaryMapper, ProcessMap
from skyctl.agents.campaign import Campaign
from skyctl.agents.map_grid import Axis
from skyctl.agents.mapping_agent import MappingAgent
from skyctl.agents.seeker import PulseMemory, TargetSeeker
from skyctl.plans.campaign import pursue
from skyctl.plans.map_stream import MapStream
from skyctl.plans.modes import Oversight
from skyctl.plans.plans import agent_facts, allowed, in_one_run
from skyctl.plans.protocols import Beamline, require_open
from skyctl.plans.stubs import Plan
from skyctl.plans.threads import in_thread
from skyctl.process import OUTCOMES

_WITH_LOST = 2


@dataclass
class MapReport:
    """What came of a map.

    map : every cell named, None before the first shot; rows, columns : its settings
    shots : of the map; prepared : pulses that brought the skyrmion back between them
    frames : how many were read, of looks and of movies
    points : each shot's settings and label, in order; reason : why it ended
    finished : whether the mapper was satisfied, or its shots were fired
    """

    rows: Axis
    columns: Axis
    shots: int = 0
    prepared: int = 0
    frames: int = 0
    finished: bool = False
    reason: str = ""
    points: list[dict[str, Any]] = field(default_factory=list)
    map: ProcessMap | None = None

    @property
    def named(self) -> list[list[str]]:
        """The outcome of each cell, row by row; empty before the first shot."""
        return [] if self.map is None else [[OUTCOMES[i] for i in row] for row in self.map.labels]

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "reached": self.finished,
            "reason": self.reason,
            "shots": self.shots,
            "prepared": self.prepared,
            "frames": self.frames,
            "row_setting": self.rows.name,
            "rows": list(self.rows.values),
            "widths_ps": list(self.columns.values),
            "map": self.named,
        }


def map_process_diagram(
    beamline: Beamline,
    *,
    widths_ps: tuple[float, ...] = (4.0, 8.0, 12.0, 16.0, 20.0, 24.0, 28.0, 32.0, 36.0, 40.0, 44.0),
    rows: tuple[float, ...] = (1.0, 1.25, 1.5, 1.75, 2.0, 2.25, 2.5, 2.75, 3.0),
    row_setting: str = "amplitude_T",
    row_device: Any = None,
    amplitude_T: float = 2.0,
    theta_deg: float = 40.0,
    shots: int = 100,
    seed: int = 0,
    centre: tuple[float, float] | None = None,
    write_shots: int = 12,
    oversight: Oversight | None = None,
    md: dict[str, Any] | None = None,
) -> Plan[MapReport]:
    """Map what pulses do to one skyrmion, over pulse width and one other setting.

    Where a shot lost the skyrmion it is written anew. A cell is labelled by what the film is
    believed to have become, and "mixed" where that is not told. The stream ``map`` has an event
    after each shot (`skyctl.plans.map_stream`).

    Parameters
    ----------
    beamline : Beamline
        See `skyctl.beamline`.
    widths_ps : tuple of float, optional
        Pulse widths, ascending.
    rows : tuple of float, optional
        Values of the other setting, ascending.
    row_setting : str, optional
        Its name: "amplitude_T" or "theta_deg" of the pulse, or what ``row_device`` sets.
    row_device : device, optional
        What sets it, where it is no setting of the pulse: a damping (in simulation), a temperature.
    amplitude_T : float, optional
        Field of every pulse, unless it is the row.
    theta_deg : float, optional
        Polar angle of every pulse from the direction against the film's background, unless it is
        the row.
    shots : int, optional
        How many shots the map may take; those that write the skyrmion come on top.
    seed : int, optional
        Of the mapper.
    centre : tuple of float, optional
        (x, y) where the skyrmion is written, sites; the film's middle unless given.
    write_shots : int, optional
        How many pulses may be fired each time to bring the skyrmion back.
    oversight : Oversight, optional
        The mode, and who approves; left out: autonomous.
    md : dict, optional
        Facts for the start document.

    Returns
    -------
    MapReport
        The map with its uncertainty, the shots, and why it ended.
    """
    require_open(beamline)
    report = MapReport(
        Axis(row_setting, tuple(rows), log=row_setting == "damping"),
        Axis("width_ps", tuple(widths_ps), log=True),
    )
    fixed = {"amplitude_T": amplitude_T, "theta_deg": theta_deg}
    if row_device is None:
        _require_setting(row_setting, fixed)
    middle = centre or beamline.camera.film_centre
    may = allowed(beamline)
    agent = MappingAgent(
        BoundaryMapper(report.rows, report.columns, OUTCOMES, seed=seed, max_shots=shots),
        TargetSeeker("write", middle, PulseMemory(), may),
        (amplitude_T, theta_deg),
        seed,
        may,
    )
    # The mapper counts its shots itself; those whose movies were lost come on top.
    campaign = Campaign(agent, _WITH_LOST * shots, write_shots)

    def body() -> Plan[MapReport]:
        task = yield from pursue(
            beamline, campaign, oversight, {row_setting: row_device}, slow=True,
            learned=MapStream(agent.mapper).written,
        )  # fmt: skip
        report.shots, report.points = len(agent.points), agent.points
        report.prepared = campaign.pulses - campaign.own
        report.frames = task.frames
        report.finished, report.reason = task.reached, agent.finished or task.reason
        if report.shots:
            report.map, _ = yield from in_thread(agent.mapper.map)
        return report

    arguments = {
        "widths_ps": list(widths_ps),
        "rows": list(rows),
        "row_setting": row_setting,
        **fixed,
        "shots": shots,
        "seed": seed,
        "centre": list(middle),
        "write_shots": write_shots,
    }
    facts = agent_facts(beamline, arguments, oversight)
    return (yield from in_one_run("map_process_diagram", beamline, body, md, facts))


def _require_setting(name: str, settings: Collection[str]) -> None:
    if name not in settings:
        raise ValueError(
            f"row_setting {name!r}: no setting of a pulse; give 'amplitude_T', 'theta_deg' "
            "or the row_device that sets it"
        )
