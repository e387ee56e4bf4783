"""Account: what a run did so far, from its documents, verdicts and results; bounded in size."""

import json
import math
import threading
import time
from collections import OrderedDict, deque
from typing import Any

import numpy as np

from skyctl.frame import ShotStart
from skyctl.pulse import Pulse
from skyctl.verdict import ShotResult, Verdict

_SHOTS = 200
_TOLD = 60
"""Of the last shots, in each state."""
_CURVE = 256
_PULSES = 512
_COURSE = 81
"""Points of a pulse's course."""


def plain_pulse(pulse: Pulse) -> dict[str, Any]:
    """A pulse for the page."""
    return {
        "text": str(pulse),
        "spot": pulse.spot.model_dump() if pulse.spot else None,
        "dose_T2ps": pulse.dose_T2ps,
    }


def filmed_pulse(pulse: Pulse) -> dict[str, Any]:
    """A pulse for the page, with its course over the movie: (time in ps, strength from 0 to 1)."""
    parts = [pulse, *([pulse.second] if pulse.second else [])]
    times = np.linspace(0, max(2 * part.peak_ps or 4 * part.width_ps for part in parts), _COURSE)
    strength = np.abs(sum(part.amplitude_T * part.at(times) for part in parts))
    course = strength / max(float(np.max(strength)), np.finfo(float).tiny)
    return {**plain_pulse(pulse), "course": np.stack([times, course], 1).round(3).tolist()}


def finite(value: float) -> float | None:
    """A number as JSON has it: None for NaN and infinities."""
    return value if math.isfinite(value) else None


class Curve:
    """Verdicts over one movie: a point a frame, thinned out evenly where there are very many."""

    def __init__(self, shot: str, classes: tuple[str, ...]) -> None:
        self.shot, self.classes = shot, classes
        self.points: list[tuple[float, ...]] = []
        """(movie time in ps, probability of each class)"""
        self.early_ps: float | None = None
        self.label: str | None = None
        self.novelty: float | None = None
        self.outside = ""
        self.off_states: float | None = None
        self._stride = self._count = 0

    def add(self, verdict: Verdict) -> None:
        """Take the verdict at one more frame."""
        point = (verdict.movie_time_ps, *(round(p, 4) for p in verdict.probabilities))
        if self._stride and self._count % self._stride:
            self.points[-1] = point
        else:
            self.points.append(point)
        self._count += 1
        if len(self.points) > _CURVE:
            self.points = self.points[::2]
            self._stride = 2 * (self._stride or 1)
        if verdict.early and self.early_ps is None:
            self.early_ps = verdict.movie_time_ps
        self.label, self.novelty = verdict.label, finite(verdict.novelty)
        self.outside, self.off_states = verdict.outside, finite(verdict.off_states) or None

    def as_json(self, pulse: dict[str, Any] | None) -> dict[str, Any]:
        """For the page; with the pulse of its shot."""
        return {
            "shot": self.shot,
            "classes": self.classes,
            "points": list(self.points),
            "early_ps": self.early_ps,
            "label": self.label,
            "novelty": self.novelty,
            "outside": self.outside,
            "off_states": self.off_states,
            "pulse": pulse,
        }


class Account:
    """Hears documents, verdicts, results and starts of movies, from whatever thread; keeps the
    last shots of them. Nothing waits for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._run: dict[str, Any] | None = None
        self._streams: dict[str, str] = {}
        self._decision: dict[str, Any] | None = None
        self._map: dict[str, Any] | None = None
        self._pulses: OrderedDict[str, dict[str, Any] | None] = OrderedDict()
        self._tasks: OrderedDict[str, str] = OrderedDict()
        self._curves: OrderedDict[str, Curve] = OrderedDict()
        self._history: deque[dict[str, Any]] = deque(maxlen=_SHOTS)
        self._shots = 0

    def start_of(self, start: ShotStart) -> None:
        """A movie begins."""
        with self._lock:
            self._pulses[start.shot] = filmed_pulse(start.pulse) if start.pulse else None
            while len(self._pulses) > _PULSES:
                self._pulses.popitem(last=False)

    def news(self, item: Verdict | ShotResult) -> None:
        """Take what the classifier says. Called in its thread: it stores and returns."""
        with self._lock:
            if isinstance(item, Verdict):
                self._curve(item).add(item)
            else:
                self._result(item)

    def _curve(self, verdict: Verdict) -> Curve:
        curve = self._curves.get(verdict.shot)
        if curve is None:
            curve = self._curves[verdict.shot] = Curve(verdict.shot, verdict.classes)
            while len(self._curves) > _SHOTS:
                self._curves.popitem(last=False)
        return curve

    def _result(self, result: ShotResult) -> None:
        if result.verdict is None and not (result.problem and self._pulses.get(result.shot)):
            if self._history and result.state:  # a look at the film that the last shot left
                self._history[-1]["film"] = str(result.state)
            return
        self._shots += 1
        verdict = result.verdict
        self._history.append(
            {
                "number": self._shots,
                "shot": result.shot,
                "label": result.label,
                "confidence": max(verdict.probabilities) if verdict else None,
                "problem": result.problem,
                "early": result.ended_early,
                "frames": result.frames_read,
                "missing": result.counts.missing,
                "film": "",
                "time": time.time(),
            }
        )

    def document(self, name: str, doc: dict[str, Any]) -> None:
        """Take a document of a RunEngine."""
        with self._lock:
            if name == "start":
                self._begin(doc)
            elif name == "descriptor":
                self._describe(doc)
            elif name == "event":
                self._event(self._streams.get(doc["descriptor"], ""), doc["data"])
            elif name == "stop" and self._run and doc["run_start"] == self._run["uid"]:
                self._run.update(
                    ended=doc["time"], exit=doc["exit_status"], reason=doc.get("reason", "")
                )

    def _begin(self, start: dict[str, Any]) -> None:
        self._run = {
            "uid": start["uid"],
            "plan": start.get("plan_name", ""),
            "mode": start.get("mode", ""),
            "purpose": start.get("purpose", ""),
            "began": start["time"],
            "ended": None,
            "exit": "",
            "reason": "",
        }
        self._streams.clear()
        self._decision = self._map = None

    def _describe(self, descriptor: dict[str, Any]) -> None:
        self._streams[descriptor["uid"]] = descriptor["name"]
        if descriptor["name"] == "map":
            self._map = {"axes": _axes(descriptor["configuration"])}

    def _event(self, stream: str, data: dict[str, Any]) -> None:
        if stream == "decisions":
            self._decision = _decision(data)
            self._tasks[self._decision["shot"]] = self._decision["task"]
            while len(self._tasks) > _PULSES:
                self._tasks.popitem(last=False)
        elif stream == "map" and self._map is not None:
            self._map.update({key.removeprefix("map_"): _listed(data[key]) for key in data})

    def as_json(self) -> dict[str, Any]:
        """All but the curves of earlier shots, for the page."""
        with self._lock:
            curve = next(reversed(self._curves.values()), None)
            return {
                "run": dict(self._run) if self._run else None,
                "decision": self._decision,
                "map": dict(self._map) if self._map else None,
                "curve": curve.as_json(self._pulses.get(curve.shot)) if curve else None,
                "shots": self._shots,
                "history": [
                    {
                        **item,
                        "pulse": (self._pulses.get(item["shot"]) or {}).get("text", ""),
                        "task": self._tasks.get(item["shot"], ""),
                    }
                    for item in list(self._history)[-_TOLD:]
                ],
            }

    def curve(self, shot: str) -> dict[str, Any] | None:
        """The verdicts of an earlier shot."""
        with self._lock:
            curve = self._curves.get(shot)
            return curve.as_json(self._pulses.get(shot)) if curve else None


def _axes(configuration: dict[str, Any]) -> dict[str, Any]:
    data = configuration["map"]["data"]
    return {key.removeprefix("map_"): _listed(data[key]) for key in data}


def _listed(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value


def _decision(data: dict[str, Any]) -> dict[str, Any]:
    pulse = Pulse.model_validate_json(data["decisions_proposal"])
    candidates = [
        {**plain_pulse(Pulse.model_validate(each["pulse"])), "chance": each["probability"]}
        for each in json.loads(data["decisions_candidates"])
    ]
    kept = ("task", "agent", "shot", "reason", "mode", "approver", "approval", "from_state")
    return {
        **{name: data[f"decisions_{name}"] for name in kept},
        "guard": data["decisions_guard_answer"],
        "approved": bool(data["decisions_approved"]),
        "pulse": plain_pulse(pulse),
        "candidates": candidates,
    }
