"""What the network contributes: lives of the loop with it, without it, and with something else.

The same samples, agent, camera and film each time.
"""

import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any

from skyctl.children import CHILDREN
from skyctl.inference.model import MovieClassifier
from skyctl.studies.network_lives import NOISES, VARIANTS, LifeReport, Variant, live
from skyctl.studies.network_shots import CENTRED, OFF_CENTRE, Judged, shots_at_skyrmions
from skyctl.studies.network_table import network_table

INTERVALS_PS = (0.5, 1.0, 2.0, 10.0, 20.0)
"""Between frames of random shots, beside the usual 5 ps."""
_FIRST_SEED = 500
"""Of the samples: those of the library begin at 10⁹, lives the classifier learned from draw others,
and nothing was chosen by these."""
_BLOCKS = 8
"""Goes in which the random shots at one place are fired."""

_Life = tuple[Variant, float, int]
"""Arguments of `live`."""
_Block = tuple[str, int, float, int, float]
"""Arguments of `shots_at_skyrmions`."""


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
    plan = _planned_lives(lives, lives if ablations is None else ablations, seed)
    blocks = _planned_shots(shots, seed)
    done = _kept(kept)
    reports = {life: done[life] for life in plan if life in done}
    verdicts: dict[str, list[Judged]] = {where: [] for where, _ in blocks}
    total = len(plan) + len(blocks)
    with ProcessPoolExecutor(workers, mp_context=CHILDREN) as pool:
        lived = {pool.submit(live, *life): life for life in plan if life not in reports}
        fired = {pool.submit(shots_at_skyrmions, *block): where for where, block in blocks}
        both: list[Any] = [*lived, *fired]
        try:
            for n, future in enumerate(as_completed(both), start=1):
                found: Any = future.result()
                if future in fired:
                    verdicts[fired[future]] += found
                else:
                    reports[lived[future]] = found
                    _keep(kept, found)
                progress(n + total - len(both), total)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    return network_table([reports[life] for life in plan], verdicts)


def _planned_lives(lives: int, ablations: int, seed: int) -> list[_Life]:
    first = _FIRST_SEED + 1000 * seed
    usual, *noisier = NOISES
    others: list[Variant] = [variant for variant in VARIANTS if variant != "network"]
    return [
        *(("network", noise, first + i) for noise in NOISES for i in range(lives)),
        *((variant, usual, first + i) for variant in others for i in range(ablations)),
        *(("whole movies", noise, first + i) for noise in noisier for i in range(ablations)),
    ]


def _planned_shots(shots: int, seed: int) -> list[tuple[str, _Block]]:
    """Blocks of random shots, each with what the table calls them."""
    blocks: list[tuple[str, _Block]] = [
        (where, (where, shots // _BLOCKS, NOISES[0], 100 * seed + i, 5.0))
        for where in (CENTRED, OFF_CENTRE)
        for i in range(_BLOCKS)
    ]
    return blocks + [
        (
            f"a frame every {interval_ps:g} ps",
            (OFF_CENTRE, shots // 4, NOISES[0], 100 * seed + 50, interval_ps),
        )
        for interval_ps in INTERVALS_PS
    ]


def _kept(path: Path | None) -> dict[_Life, LifeReport]:
    reports: dict[_Life, LifeReport] = {}
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
