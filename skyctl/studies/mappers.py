"""Benchmark of the boundary mapper on simulated process diagrams, beside other ways to map.

The truth is simulated once (truth_maps), so that agents are judged in minutes. Agents see labels;
the truth judges them.
"""

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any

from skyctl.children import CHILDREN
from skyctl.studies.map_scores import Score
from skyctl.studies.mapper_runs import JUDGED_MAPS, Job, Run
from skyctl.studies.mappers_table import NOISES, mapper_rows

_DRAW_NOTHING = ("grid", "bisection", "staircase")


def mapping_metrics(
    seeds: int,
    samples: int,
    seed: int = 0,
    *,
    workers: int = 2,
    kept: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[dict[str, Any]]:
    """Shots that the mapper needs for ``samples`` truth maps of films it has not seen.

    seeds : of the mapper, on each map; baselines that draw have a quarter as many, noisy labels
        too, scikit-learn's slow classifier one
    samples : how many of `JUDGED_MAPS`, at most all of them
    kept : JSON lines, a run each as it is done; those it holds are not made again, unless agents
        or maps were other ones then
    progress : told how many runs are done, of how many

    Returns the rows of `skyctl bench autonomy`, each with its baselines. Raises ValueError for
    more samples than there are maps.
    """
    if not 1 <= samples <= len(JUDGED_MAPS):
        raise ValueError(f"{samples} samples: there are truth maps of 1 to {len(JUDGED_MAPS)}")
    jobs = _jobs(JUDGED_MAPS[:samples], seeds, seed)
    done = _kept_runs(kept, jobs)
    left = [job for job in jobs if job not in done]
    with ProcessPoolExecutor(workers, mp_context=CHILDREN) as pool:
        pending = {pool.submit(job.run): job for job in left}
        for future in as_completed(pending):
            job = pending[future]
            done[job] = future.result()
            if kept:
                line = {"job": asdict(job), "inputs": job.inputs, "run": asdict(done[job])}
                with kept.open("a") as file:
                    file.write(json.dumps(line) + "\n")
            progress(len(done), len(jobs))
    return mapper_rows({job: done[job] for job in jobs})


def _jobs(maps: Sequence[str], seeds: int, seed: int) -> list[Job]:
    fewer = max(1, seeds // 4)
    counts = {
        "learned": seeds,
        "boundary-mapper": seeds,
        "straddle": fewer,
        "random": fewer,
        "sobol": fewer,
        "gp-classifier": 1,
        **dict.fromkeys(_DRAW_NOTHING, 1),
    }
    jobs = [Job(agent, m, seed + i) for agent, n in counts.items() for m in maps for i in range(n)]
    jobs += [
        Job("boundary-mapper", m, seed + i, noise, repeats)
        for noise in NOISES
        for repeats in (1, 3)
        for m in maps
        for i in range(fewer)
    ]
    return jobs


def _kept_runs(kept: Path | None, jobs: Sequence[Job]) -> dict[Job, Run]:
    """The runs of these jobs that a file holds."""
    wanted = set(jobs)
    runs: dict[Job, Run] = {}
    for line in kept.read_text().splitlines() if kept and kept.exists() else ():
        content = json.loads(line)
        job, run = Job(**content["job"]), content["run"]
        if job in wanted and content["inputs"] == job.inputs:
            scores = [(shots, Score(**score)) for shots, score in run["scores"]]
            runs[job] = Run(**{**run, "scores": scores})
    return runs
