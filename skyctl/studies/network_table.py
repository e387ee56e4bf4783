"""Table of what the network contributes, from lives and verdicts; docs/belief.md shows it."""

from typing import Any

import numpy as np
from scipy.stats import binomtest

from skyctl.process import PROCESSES
from skyctl.studies.network_lives import NOISES, LifeReport
from skyctl.studies.network_shots import Judged
from skyctl.studies.seekers import TASKS


def network_table(reports: list[LifeReport], shots: dict[str, list[Judged]]) -> dict[str, Any]:
    """What `network_metrics` returns, from its lives and by place its random shots."""
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


def told(verdicts: list[Judged]) -> dict[str, Any]:
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
    """The table of docs/belief.md; `network_metrics` gives ``network``."""
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
