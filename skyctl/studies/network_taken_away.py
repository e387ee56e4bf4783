"""What the network contributes: lives of the loop with it, without it, and with something else.

The same samples, agent, camera and film each time. A life is write, switch and erase; one task that
fails ends it. What truly happened is judged from the film, and no decision sees it.
"""

import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from scipy.stats import binomtest

from skyctl.agents.campaign import Campaign
from skyctl.agents.seeker import PulseMemory, TargetSeeker
from skyctl.agents.tasks import Task
from skyctl.inference.model import MovieClassifier
from skyctl.process import (
    PROCESSES,
    TRANSITIONS,
    process_probabilities,
    transition_probabilities,
)
from skyctl.pulse import Pulse
from skyctl.simulators.instrument.spread import PulseSpread, SampleSpread
from skyctl.simulators.lattice.film import Film
from skyctl.studies.rig import MOVIE, SPARING, Conditions, Rig, filmed, run_campaign
from skyctl.studies.seekers import AT_MOST, TASKS

Variant = Literal[
    "network",
    "every frame",
    "whole movies",
    "random labels",
    "uniform",
    "another shot's",
    "looks blinded",
]
"""network: the loop as it is, with few frames before the pulse's peak. every frame: one each 5 ps
there as well. whole movies: that, no movie ends early, and a look follows each.
random labels, uniform, another shot's: the network is replaced by one that names a transition at
random with p = 0.99, by one that finds all alike, or by one that says what it said of another shot.
looks blinded: the network is kept, and every look is a blank image."""
VARIANTS: tuple[Variant, ...] = get_args(Variant)
NOISES = (0.05, 0.5, 1.0)
INTERVALS_PS = (0.5, 1.0, 2.0, 10.0, 20.0)
_FIRST_SEED = 500
"""Of the samples: those of the library begin at 10⁹, lives the classifier learned from draw others,
and nothing was chosen by these."""
_SURE = 0.99
_OTHERS = 30
"""Shots that "another shot's" verdicts come from."""
_CENTRED, _OFF_CENTRE = "centred, background -z", "off the centre, both backgrounds"
_FARTHEST_SITES = 25


@dataclass(frozen=True)
class LifeReport:
    """What came of a life.

    reached : how many tasks were; false : reported reached and were not
    pulses : of each task that was tried; frames : of all; frames_reached : of the reached tasks
    held : why it ended, if fire was held; held_after : shots until then, None where it was not
    verdicts : (true process, label, early, right) of each shot
    """

    variant: Variant
    noise: float
    sample_seed: int
    reached: int
    false: int
    pulses: tuple[int, ...]
    frames: int
    frames_reached: int
    held: str
    held_after: int | None
    verdicts: tuple[tuple[str, str, bool, bool], ...]
    reason: str = ""


class _Replaced(MovieClassifier):
    """A network whose answers are not its own: ``answer`` gives transitions a movie."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        super().__init__()

    def answer(self) -> np.ndarray:
        """(TRANSITIONS,) of the next movie."""
        raise NotImplementedError

    def begin(self, first: np.ndarray, pulse: Pulse | None = None) -> None:
        super().begin(first, pulse)
        self._answer = self.answer()

    def step(self, sz: np.ndarray, time_ps: float = 0.0) -> np.ndarray:
        super().step(sz, time_ps)
        self.novelty = -np.inf
        self.transitions = self._answer
        return process_probabilities(self._answer)


class _Random(_Replaced):
    def answer(self) -> np.ndarray:
        said = np.full(TRANSITIONS, (1 - _SURE) / (TRANSITIONS - 1))
        said[self._rng.integers(TRANSITIONS)] = _SURE
        return said


class _Uniform(_Replaced):
    def answer(self) -> np.ndarray:
        return transition_probabilities(PROCESSES, np.full(len(PROCESSES), 1 / len(PROCESSES)))


class _Anothers(_Replaced):
    def answer(self) -> np.ndarray:
        return np.array(_of_other_shots()[self._rng.integers(_OTHERS)])


@lru_cache(maxsize=1)
def _of_other_shots() -> tuple[tuple[float, ...], ...]:
    """What the network itself said at the end of the shots of lives at other samples."""
    said: list[tuple[float, ...]] = []
    seed = 10_000
    while len(said) < _OTHERS:
        with filmed(SampleSpread().draw(seed), Conditions(noise=0.05), seed) as rig:
            memory = PulseMemory()
            for task in TASKS:
                campaign = Campaign(TargetSeeker(task, (49.5, 49.5), memory), AT_MOST[task])
                run_campaign(campaign, rig)
            said += rig.said
        seed += 1
    return tuple(said[:_OTHERS])


_MODELS: dict[Variant, Callable[[int], MovieClassifier]] = {
    "random labels": _Random,
    "uniform": _Uniform,
    "another shot's": _Anothers,
}


def live(variant: Variant, noise: float, sample_seed: int) -> LifeReport:
    """Write, switch and erase at one sample that starts empty."""
    sample = SampleSpread().draw(sample_seed)
    make = _MODELS.get(variant)
    with filmed(
        sample,
        Conditions(noise=noise),
        sample_seed,
        model=make(sample_seed) if make else None,
        ends_early=variant != "whole movies",
        blind=variant == "looks blinded",
        movie=MOVIE if variant in ("every frame", "whole movies") else SPARING,
    ) as rig:
        return _lived(rig, variant, noise, sample_seed)


def _lived(rig: Rig, variant: Variant, noise: float, sample_seed: int) -> LifeReport:
    memory, pulses = PulseMemory(), []
    reached = false = frames_reached = 0
    reason = ""
    for task in TASKS:
        before, frames = rig.truth(), rig.frames
        campaign = Campaign(TargetSeeker(task, (49.5, 49.5), memory), AT_MOST["switch"])
        end = run_campaign(campaign, rig, look_after_each=variant == "whole movies")
        pulses.append(campaign.pulses)
        if not end.reached:
            reason = f"{task}: {end.reason}"
            break
        if _truly(task, before, rig.truth()):
            reached += 1
            frames_reached += rig.frames - frames
        else:
            false += 1
    held = rig.held
    return LifeReport(
        variant=variant, noise=noise, sample_seed=sample_seed, reached=reached, false=false,
        pulses=tuple(pulses), frames=rig.frames, frames_reached=frames_reached, held=held,
        held_after=len(rig.fired) if held else None,
        verdicts=tuple((f.process, f.label, f.early, f.right) for f in rig.fired),
        reason=reason,
    )  # fmt: skip


def _truly(task: Task, before: tuple[str, int], after: tuple[str, int]) -> bool:
    wanted = {
        "write": after[0] == "one",
        "erase": after[0] == "empty",
        "switch": after[0] == "one" and after[1] != before[1],
    }
    return wanted[task]


def shots_at_skyrmions(
    where: str, count: int, noise: float, seed: int, interval_ps: float = 5.0
) -> list[tuple[str, str, bool, bool]]:
    """(true process, label, early, right) of random shots at random samples with one skyrmion,
    each watched to the end or to its early verdict, a frame every ``interval_ps``."""
    movie = MOVIE.model_copy(update={"interval_ps": interval_ps})
    verdicts: list[tuple[str, str, bool, bool]] = []
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        sample = SampleSpread().draw(int(rng.integers(10**6, 10**8)))
        with filmed(sample, Conditions(noise=noise), int(rng.integers(10**6)), movie=movie) as rig:
            turned = where == _OFF_CENTRE and rng.random() < 0.5
            _put_skyrmion(rig.film, rng if where == _OFF_CENTRE else None, turned)
            if rig.truth()[0] != "one":
                continue
            pulse = PulseSpread().draw(int(rng.integers(10**8)))
            if turned:
                pulse = pulse.model_copy(update={"theta_deg": 180 - pulse.theta_deg})
            rig.fire(pulse)
            shot = rig.fired[0]
            verdicts.append((shot.process, shot.label, shot.early, shot.right))
    return verdicts


def _put_skyrmion(film: Film, rng: np.random.Generator | None, turned: bool) -> None:
    film.set_skyrmion(background=1 if turned else -1)
    if rng is not None:
        shift = rng.integers(-_FARTHEST_SITES, _FARTHEST_SITES + 1, 2)
        film.spins = np.roll(film.spins, tuple(shift), (1, 2))
    film.settle()


Job = tuple[str, float, int]


def network_metrics(
    lives: int = 100,
    *,
    seed: int = 0,
    shots: int = 240,
    ablations: int | None = None,
    workers: int = 2,
    kept: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Lives of the loop for every variant, and verdicts on random shots, as one table.

    lives : of the network, at each of NOISES; ablations : of each other variant, at the first of
        them (None: as many); shots : random ones, centred and off the centre
    kept : JSON lines, a life each as it is done; those it holds are not lived again

    Returns ``variants``, ``verdicts`` and ``shots``: shares with 95 % intervals.
    """
    first = _FIRST_SEED + 1000 * seed
    few = lives if ablations is None else ablations
    plan: list[Job] = [("network", noise, first + i) for noise in NOISES for i in range(lives)]
    plan += [
        (variant, NOISES[0], first + i) for variant in VARIANTS if variant != "network"
        for i in range(few)
    ]  # fmt: skip
    plan += [("whole movies", noise, first + i) for noise in NOISES[1:] for i in range(few)]
    done = _kept(kept)
    reports = {job: done[job] for job in plan if job in done}
    each = shots // _BLOCKS
    blocks: dict[tuple[str, int], tuple[Any, ...]] = {
        (where, i): (where, each, NOISES[0], 100 * seed + i)
        for where in (_CENTRED, _OFF_CENTRE)
        for i in range(_BLOCKS)
    }
    for interval_ps in INTERVALS_PS:
        block = (_OFF_CENTRE, shots // 4, NOISES[0], 100 * seed + 50, interval_ps)
        blocks[f"a frame every {interval_ps:g} ps", 0] = block
    total = len(plan) + len(blocks)
    verdicts: dict[str, list[tuple[str, str, bool, bool]]] = {where: [] for where, _ in blocks}
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        lived = {pool.submit(live, *job): job for job in plan if job not in reports}  # type: ignore[arg-type]
        fired = {pool.submit(shots_at_skyrmions, *block): job[0] for job, block in blocks.items()}
        both: list[Any] = [*lived, *fired]
        try:
            for n, future in enumerate(as_completed(both), start=1):
                found: Any = future.result()
                if future in fired:
                    verdicts[fired[future]] += found
                else:
                    reports[lived[future]] = found
                    _keep(kept, found)
                progress(n + total - len(lived) - len(fired), total)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    return _table([reports[job] for job in plan], verdicts)


_BLOCKS = 8


def _kept(path: Path | None) -> dict[Job, LifeReport]:
    reports: dict[Job, LifeReport] = {}
    model = MovieClassifier().card.file_sha256
    for line in path.read_text().splitlines() if path and path.exists() else ():
        plain = json.loads(line)
        if plain.pop("model") != model:
            continue
        plain["pulses"] = tuple(plain["pulses"])
        plain["verdicts"] = tuple(map(tuple, plain["verdicts"]))
        report = LifeReport(**plain)
        reports[report.variant, report.noise, report.sample_seed] = report
    return reports


def _keep(path: Path | None, report: LifeReport) -> None:
    if path:
        line = {**asdict(report), "model": MovieClassifier().card.file_sha256}
        with path.open("a") as file:
            file.write(json.dumps(line) + "\n")


def _table(
    reports: list[LifeReport], shots: dict[str, list[tuple[str, str, bool, bool]]]
) -> dict[str, Any]:
    groups: dict[tuple[str, float], list[LifeReport]] = {}
    for report in reports:
        groups.setdefault((report.variant, report.noise), []).append(report)
    rows = [
        {"variant": variant, "noise": noise, **_summary(group)}
        for (variant, noise), group in groups.items()
    ]
    whole = {row["noise"]: row["frames_a_task"] for row in rows if row["variant"] == "whole movies"}
    for row in rows:
        baseline = whole.get(row["noise"])
        if baseline and row["frames_a_task"]:
            row["frames_of_whole"] = row["frames_a_task"] / baseline
    return {
        "variants": rows,
        "verdicts": {
            f"lives, noise {noise:g}": told(
                [v for report in groups.get(("network", noise), []) for v in report.verdicts]
            )
            for noise in NOISES
        },
        "shots": {where: told(found) for where, found in shots.items()},
    }


def _summary(group: list[LifeReport]) -> dict[str, Any]:
    lives = len(group)
    switches = [r.pulses[1] for r in group if len(r.pulses) > 1]
    tasks = sum(r.reached for r in group)
    noticed = [r.held_after for r in group if r.held_after is not None]
    return {
        "lives": lives,
        "whole_lives": share(sum(r.reached == len(TASKS) for r in group), lives),
        "tasks_reached": tasks,
        "falsely_reached": sum(r.false for r in group),
        "write": share(sum(r.reached >= 1 for r in group), lives),
        "switch_pulses_median": float(np.median(switches)) if switches else None,
        "switch_pulses_p90": float(np.percentile(switches, 90)) if switches else None,
        "frames_a_task": sum(r.frames_reached for r in group) / tasks if tasks else None,
        "frames_a_life": sum(r.frames for r in group) / lives,
        "held": share(len(noticed), lives),
        "held_within_5_shots": share(sum(n <= 5 for n in noticed), lives),
        "reasons": sorted({r.reason for r in group if r.reason})[:5],
    }


def told(verdicts: list[tuple[str, str, bool, bool]]) -> dict[str, Any]:
    """How verdicts stand to what happened: named, right of the named, recall of each process, and
    wrong of those that were sure enough to end a movie."""
    named = [v for v in verdicts if v[1] in PROCESSES]
    early = [v for v in verdicts if v[2]]
    return {
        "shots": len(verdicts),
        "named": share(len(named), len(verdicts)),
        "right": share(sum(v[3] for v in named), len(named)),
        "sure": share(len(early), len(verdicts)),
        "sure_and_wrong": share(sum(not v[3] for v in early), len(early)),
        "recall": {
            name: share(sum(v[3] for v in named if v[0] == name), sum(v[0] == name for v in named))
            for name in PROCESSES
        },
    }


def share(count: int, of: int) -> dict[str, Any]:
    """A share with its exact 95 % interval (Clopper and Pearson)."""
    if not of:
        return {"of": 0}
    found = binomtest(count, of).proportion_ci(0.95, method="exact")
    return {"share": count / of, "of": of, "95%": [float(found.low), float(found.high)]}


def markdown(network: dict[str, Any]) -> str:
    """The table of docs/network.md; `network_metrics` gives ``network``."""
    lines = [
        "| the loop with | noise | lives whole | reached, and not | held, within 5 shots | "
        "switch: median, p90 | frames a reached task |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in network["variants"]:
        frames = "-" if row["frames_a_task"] is None else f"{row['frames_a_task']:.0f}"
        if "frames_of_whole" in row:
            frames += f" ({row['frames_of_whole']:.2f})"
        pulses = (row["switch_pulses_median"], row["switch_pulses_p90"])
        lines.append(
            f"| {row['variant']} | {row['noise']:g} | {_percent(row['whole_lives'])} | "
            f"{row['falsely_reached']} | {_percent(row['held'])}, "
            f"{_percent(row['held_within_5_shots'])} | "
            f"{', '.join('-' if n is None else f'{n:g}' for n in pulses)} | {frames} |"
        )
    lines += [
        "",
        "| verdicts | shots | named | right | sure | sure and wrong | least recall |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in {**network["verdicts"], **network["shots"]}.items():
        recalls = [(v["share"], k) for k, v in row["recall"].items() if v["of"]]
        least, process = min(recalls)
        lines.append(
            f"| {name} | {row['shots']} | "
            + " | ".join(_percent(row[k]) for k in ("named", "right", "sure", "sure_and_wrong"))
            + f" | {least:.1%} ({process}) |"
        )
    return "\n".join(lines) + "\n"


def _percent(found: dict[str, Any]) -> str:
    if not found["of"]:
        return "-"
    low, high = found["95%"]
    return f"{found['share']:.1%} ({low:.1%}–{high:.1%})"
