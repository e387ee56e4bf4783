"""The plan that maps a process diagram: many shots in one run, each where it teaches most."""

from collections.abc import Generator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import bluesky.plan_stubs as bps
from bluesky.utils import Msg

from skyctl.agents.mapper import Axis, BoundaryMapper, ProcessMap
from skyctl.agents.outcome import OUTCOMES, outcome_of
from skyctl.agents.seeker import PulseMemory, TargetSeeker
from skyctl.agents.tasks import against
from skyctl.plans import plans, stubs
from skyctl.plans.modes import Oversight, Permission
from skyctl.plans.protocols import Beamline
from skyctl.plans.threads import in_thread
from skyctl.pulse import Pulse
from skyctl.verdict import FilmState, ShotResult

_SPOILT_IN_A_ROW = 2


@dataclass
class MapReport:
    """What came of a map.

    map : every cell named, None before the first shot; rows, columns : its settings
    shots : of the map; prepared : pulses that brought the skyrmion back between them
    points : each shot's settings and label, in order; reason : why it ended
    finished : whether the mapper was satisfied, or its shots were fired
    """

    rows: Axis
    columns: Axis
    shots: int = 0
    prepared: int = 0
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
) -> Generator[Msg, Any, MapReport]:
    """Map what pulses do to one skyrmion, over pulse width and one other setting.

    Before each shot the film is looked at, and where the last one lost the skyrmion it is written
    anew. The agent sees the verdict where the settled film bears it out, and "mixed" otherwise.

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
        The mode, and who approves; left out: autonomous. Dry-run and shadow propose the first shot.
    md : dict, optional
        Facts for the start document.

    Returns
    -------
    MapReport
        The map with its uncertainty, the shots, and why it ended.
    """
    report = MapReport(
        Axis(row_setting, tuple(rows), log=row_setting == "damping"),
        Axis("width_ps", tuple(widths_ps), log=True),
    )
    fixed = {"amplitude_T": amplitude_T, "theta_deg": theta_deg}
    if row_device is None and row_setting not in fixed:
        raise ValueError(
            f"row_setting {row_setting!r}: no setting of a pulse; give 'amplitude_T', 'theta_deg' "
            "or the row_device that sets it"
        )
    mapper = BoundaryMapper(report.rows, report.columns, OUTCOMES, seed=seed, max_shots=shots)
    memory = PulseMemory()
    centre = centre or beamline.camera.film_centre
    permission = Permission(oversight or Oversight())

    def body() -> Generator[Msg, Any, MapReport]:
        spoilt = 0
        while not report.finished:
            prepare = TargetSeeker("write", centre, memory)
            ready = yield from stubs.pursue(beamline, prepare, write_shots, oversight)
            report.prepared += ready.pulses
            if not ready.reached or ready.after is None:
                report.reason = f"no skyrmion to start from: {ready.reason}"
                break
            (point,), _ = yield from in_thread(mapper.suggest)  # type: ignore[misc]
            if row_device is not None:
                yield from bps.checkpoint()
                yield from bps.abs_set(row_device, point[row_setting], wait=True)
            settings = {**fixed, **{k: point[k] for k in fixed if k in point}}
            pulse = against(ready.after.background, Pulse(width_ps=point["width_ps"], **settings))
            result, refused = yield from _one_shot(point, pulse, ready.after)
            if result is None:
                report.reason = refused
                break
            seen, unseen = yield from stubs.look_until_seen(beamline)
            if unseen or seen.state is None:
                report.reason = unseen
                break
            if result.problem:
                mapper.register_failures([point])
                spoilt += 1
                if spoilt == _SPOILT_IN_A_ROW:
                    report.reason = f"held fire: {result.problem}"
                    break
                continue
            spoilt = 0
            learned = {**point, "label": process_seen(result, ready.after, seen.state)}
            report.shots += 1
            report.points.append(learned)
            (report.finished, why), _ = yield from in_thread(partial(_learn, mapper, learned))  # type: ignore[misc]
            report.reason = why or ""
        if report.shots:
            report.map, _ = yield from in_thread(mapper.map)
        return report

    def _one_shot(
        point: dict[str, Any], pulse: Pulse, film: FilmState
    ) -> Generator[Msg, Any, tuple[ShotResult | None, str]]:
        """Ask, write the decision down, fire: (the result, "") or (None, why nothing was fired)."""
        reason = f"{row_setting} = {point[row_setting]:g}, width_ps = {point['width_ps']:g}"
        request = permission.request("map", mapper.name, stubs.new_shot(), pulse, reason, str(film))
        facts = {
            "seed": seed,
            "from_label": report.points[-1]["label"] if report.points else "",
        }
        refusal, answer = yield from stubs.decide(beamline, permission, request, facts)
        if refusal or not answer.approved:
            return None, refusal or str(answer)
        result = yield from stubs.shoot(beamline, pulse, request.shot)
        return result, ""

    arguments = {
        "widths_ps": list(widths_ps), "rows": list(rows), "row_setting": row_setting,
        **fixed, "shots": shots, "seed": seed, "centre": list(centre), "write_shots": write_shots,
    }  # fmt: skip
    facts = plans._agent_facts(arguments, oversight, beamline)
    return (yield from plans._in_one_run("map_process_diagram", beamline, body, md, facts))


def process_seen(result: ShotResult, before: FilmState, after: FilmState) -> str:
    """The verdict on a shot at one skyrmion, where the settled film bears it out, else "mixed"."""
    settled = outcome_of(before, after)
    return settled if result.label == settled else "mixed"


def _learn(mapper: BoundaryMapper, point: dict[str, Any]) -> tuple[bool, str | None]:
    mapper.ingest([point])
    return mapper.should_stop()
