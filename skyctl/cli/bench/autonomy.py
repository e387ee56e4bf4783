"""`skyctl bench autonomy`: guard, seeker and mapper in one table."""

import logging
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from skyctl.cli.common import (
    JsonFile,
    PngFile,
    complaints,
    console,
    explained,
    extra,
    progress_bar,
    write_json,
)

_SHOWN = ("median", "p90", "p99", "success")


class _Part(StrEnum):  # Typer has no lists of Literal
    network = "network"
    guard = "guard"
    seeking = "seeking"
    mapping = "mapping"


Parts = Annotated[
    list[_Part] | None,
    typer.Argument(help="What to measure; left out: all."),
]

Seeds = Annotated[int, typer.Option(help="How many seeds.", min=1)]

Samples = Annotated[
    int,
    typer.Option(help="Samples a seed; of truth maps as many as there are.", min=1, max=1000),
]

BaselineLives = Annotated[
    int, typer.Option(help="Samples for each of the seeker's baselines.", min=1)
]

Proposals = Annotated[int, typer.Option(help="Hostile proposals to the pulser's guard.", min=100)]

Kept = Annotated[
    Path | None,
    typer.Option(
        help="Folder: what seekers and mappers did is kept here, and not done again.",
        file_okay=False,
    ),
]


def bench_autonomy(
    parts: Parts = None,
    seed: Annotated[int, typer.Option(help="First of the seeds.", min=0)] = 0,
    seeds: Seeds = 20,
    samples: Samples = 5,
    baseline_lives: BaselineLives = 25,
    proposals: Proposals = 100_000,
    decisions: Annotated[int, typer.Option(help="Decisions to time.", min=10)] = 500,
    workers: Annotated[int, typer.Option(help="Processes.", min=1)] = 2,
    kept: Kept = None,
    json_file: JsonFile = None,
    png: PngFile = None,
) -> None:
    """What the network contributes, and figures of guard, seeker and mapper.

    network: lives of the loop with the classifier, with its answers replaced, and with its looks
    blinded; forty minutes of two cores. guard: verdict to armed pulser, stop to disarmed, unsafe
    proposals that get through; two minutes. seeking: pulses to write, switch and erase on samples
    never seen; an hour of a core. mapping: shots to a process diagram of 44 × 40 cells; half an
    hour of a core.

    Ends with 1 when an unsafe proposal gets through. --png draws a map that the mapper made.
    """
    with extra("bench"):
        from skyctl.studies.autonomy import autonomy

    logging.getLogger("skyctl").setLevel(logging.ERROR)  # each refusal is a warning
    with explained():
        with progress_bar("") as progress:
            chosen = [part.value for part in parts or _Part]
            bars = {part: progress.add_task(part, total=None) for part in chosen}
            result = autonomy(
                chosen,
                seed=seed,
                seeds=seeds,
                samples=samples,
                baseline_lives=baseline_lives,
                proposals=proposals,
                decisions=decisions,
                workers=workers,
                kept=kept,
                progress=lambda part, done, total: progress.update(
                    bars[part], completed=done, total=total
                ),
            )
        _show_tables(result)
        if png:
            _draw_a_map(png)
        write_json(json_file, result)
    if fuzzed := result.get("proposals"):
        _judge_guard(fuzzed)


def _show_tables(result: dict[str, Any]) -> None:
    if result["metrics"]:
        console.print(_metrics_table(result["metrics"]))
    if network := result.get("network"):
        console.print(_network_table(network), _verdict_table(network))


def _draw_a_map(png: Path) -> None:
    from skyctl.studies.mapper_runs import JUDGED_MAPS
    from skyctl.studies.mappers_figure import draw_map, mapped
    from skyctl.studies.truth_maps import TruthMap

    truth = TruthMap.load(JUDGED_MAPS[0])
    draw_map(truth, mapped(truth, 65, learned=True), png)


def _judge_guard(fuzzed: dict[str, Any]) -> None:
    """Say what became of hostile proposals; status 1 where one got through."""
    console.print(
        f"{fuzzed['proposals']} proposals, {fuzzed['fired']} fired, refused {fuzzed['refused']}"
    )
    if fuzzed["unsafe"] or fuzzed["second_controllers"]:
        complaints.print("[bold red]an unsafe proposal reached the driver[/]")
        raise typer.Exit(1)


def _metrics_table(metrics: list[dict[str, Any]]) -> Table:
    table = Table("metric", *_SHOWN, "target")
    for row in metrics:
        table.add_row(row["name"], *map(_show, _cells(row)), _target(row.get("target", {})))
        for name, other in row["baselines"].items():
            table.add_row(f"  {name}", *map(_show, _cells(other)), "", style="dim")
    return table


def _network_table(network: dict[str, Any]) -> Table:
    table = Table(
        "network", "noise", "lives whole", "false", "held", "≤ 5 shots", "pulses", "frames a task"
    )
    for row in network["variants"]:
        table.add_row(
            row["variant"],
            f"{row['noise']:g}",
            _share(row["whole_lives"]),
            str(row["falsely_reached"]),
            _share(row["held"]),
            _share(row["held_within_5_shots"]),
            f"{_show(row['switch_pulses_median'])}, {_show(row['switch_pulses_p90'])}",
            _show(row["frames_a_task"]),
        )
    return table


def _verdict_table(network: dict[str, Any]) -> Table:
    table = Table("verdicts", "shots", "named", "right", "sure", "sure and wrong")
    for name, row in {**network["verdicts"], **network["shots"]}.items():
        table.add_row(
            name,
            str(row["shots"]),
            *(_share(row[each]) for each in ("named", "right", "sure", "sure_and_wrong")),
        )
    return table


def _share(found: dict[str, Any]) -> str:
    return f"{found['share']:.1%}" if found["of"] else "-"


def _cells(row: dict[str, Any]) -> list[Any]:
    return [row.get(column, "") for column in _SHOWN]


def _show(value: float | str | None) -> str:
    if value is None:
        return "never"
    return value if isinstance(value, str) else f"{value:.3g}"


def _target(target: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in target.items())
