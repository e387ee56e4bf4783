"""Monitor: the live page of a beamline, or of a recording that is streamed again."""

import math
import time
from collections import deque
from pathlib import Path
from typing import Any

from skyctl.beamline import Beamline
from skyctl.belief import STATES
from skyctl.errors import PulseRefused
from skyctl.frame import COUNTS
from skyctl.inference.streaming import StreamingClassifier
from skyctl.monitor.account import Account, finite, plain_pulse
from skyctl.monitor.action_log import ActionLog
from skyctl.monitor.controls import Controls
from skyctl.monitor.film import LiveFilm, LiveFrame, pack_movie
from skyctl.monitor.newest import Newest
from skyctl.monitor.people import People
from skyctl.monitor.recorded import recorded_movie
from skyctl.monitor.server import PageServer, Tls
from skyctl.monitor.view import Kind
from skyctl.plans.modes import ApprovalDesk, Asked
from skyctl.stream.accounting import LatencyHistogram
from skyctl.stream.hub import Consumer, Hub

LOG = "monitor.jsonl"
"""File of what people did on the page, beside the ledger."""
_OLDEST_S = 1.0
_RECORDINGS = 20
_RATE_OVER = 5
"""States, over which frames a second are counted."""


class Watch:
    """What comes through a hub and its classifier, for a page: a `View` without controls.

    kind : see skyctl.monitor.view.Kind; title : what it is called on the page
    """

    controls: Controls | None = None
    still = False

    def __init__(
        self, hub: Hub, streaming: StreamingClassifier, kind: Kind = "live", title: str = ""
    ) -> None:
        self._hub, self._streaming = hub, streaming
        self._kind, self._title = kind, title
        self._film = LiveFilm()
        self._counted: deque[tuple[float, int]] = deque(maxlen=_RATE_OVER)
        self._account = Account()
        self._consumer = Consumer("monitor", self._take, policy="newest", max_age_s=_OLDEST_S)
        streaming.subscribe(self._account.news)
        hub.subscribe(self._consumer)

    def close(self) -> None:
        """Hear nothing more."""
        self._hub.unsubscribe(self._consumer)
        self._streaming.unsubscribe(self._account.news)
        self._consumer.close()

    def _take(self, event: Any) -> None:
        self._film.handle(event)
        if (movie := self._film.playing) and movie.start is event:
            self._account.start_of(event)

    @property
    def newest(self) -> Newest[LiveFrame]:
        """The newest frame."""
        return self._film.newest

    def movie(self, shot: str, frames: int, side: int) -> bytes | None:
        """Of a movie that is kept in memory."""
        movie = self._film.movie(shot)
        if movie is None:
            return None
        return pack_movie(shot, list(movie.pictures), movie.start.expected_frames, frames, side)

    def curve(self, shot: str) -> dict[str, Any] | None:
        """Verdicts of a shot."""
        return self._account.curve(shot)

    def state(self) -> dict[str, Any]:
        """What is shown besides the film."""
        stamp = time.monotonic()
        rules = self._streaming.model.card.rules
        card = self._streaming.model.card
        return {
            "kind": self._kind,
            "title": self._title,
            "stamp": stamp,
            "time": time.time(),
            "film": self._film_state(),
            "belief": self._belief(),
            "model": f"{card.name} {card.version}",
            "novelty_limit": finite(rules.novelty) if rules else None,
            "latency": _quantiles(self._streaming.latency),
            **self._account.as_json(),
        }

    def _film_state(self) -> dict[str, Any]:
        playing, totals = self._film.playing, self._hub.accounting()
        self._counted.append((time.monotonic(), totals["received"]))
        (began, before), (now, received) = self._counted[0], self._counted[-1]
        return {
            "shot": playing.start.shot if playing else "",
            "rate": (received - before) / (now - began) if now > began else 0.0,
            "pixel_sites": self._streaming.pixel_sites or 1.0,
            "counts": {name: totals[name] for name in (*COUNTS, "missing_shots", "clock_faults")},
        }

    def _belief(self) -> dict[str, Any]:
        belief = self._streaming.belief
        return {
            "states": [
                {"kind": kind, "sign": sign, "p": float(p)}
                for (kind, sign), p in zip(STATES, belief.states, strict=True)
            ],
            "unsound": belief.unsound,
            "text": str(belief),
        }


class Monitor(Watch):
    """The live page of a beamline; a context manager, and a RunEngine's callback.

    >>> with Monitor(beamline) as monitor:  # doctest: +SKIP
    ...     RE.subscribe(monitor)
    ...     RE(write(beamline, oversight=Oversight("approve-each", monitor.desk)))

    port : 0 takes a free one; host : an interface. Off this machine it needs ``tls``, (certificate,
        key) files, and ``names``, under which browsers know this machine
    people : who may see and act; left out, whoever runs this program is the one operator
    desk : the approver that the page answers for; one of its own unless given
    tiled : address of a Tiled server that the run is in and people can open, for a link

    `url` opens it, signed in as the first person; `links` has everybody's. STOP holds the pulser
    through an interlock that stays, see Controls; what people do is written to ``monitor.jsonl``
    beside the ledger, or in the beamline's folder.

    Raises MonitorError: the port is taken, the log cannot be read, or the host needs TLS.
    """

    def __init__(
        self,
        beamline: Beamline[Any],
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        people: People | None = None,
        desk: ApprovalDesk | None = None,
        tiled: str = "",
        tls: Tls | None = None,
        names: tuple[str, ...] = (),
    ) -> None:
        self.desk = desk or ApprovalDesk()
        self._beamline, self._tiled = beamline, tiled
        self._recordings: list[Path] = []
        ledger = beamline.pulser.guard.ledger_path
        folder = ledger.parent if ledger else beamline.folder
        self._server = PageServer(self, people or People.only_me(), port, host, tls, names)
        try:
            self.log = ActionLog(folder / LOG)
        except BaseException:
            self._server.close()
            raise
        self.controls = Controls(beamline.pulser, self.desk, self.log)
        super().__init__(beamline.hub, beamline.streaming)
        self.desk.subscribe(self._asked)
        try:
            self._server.start()
        except BaseException:
            self.close()
            raise

    def __call__(self, name: str, doc: dict[str, Any]) -> None:
        """Take a document of the RunEngine."""
        self._account.document(name, doc)

    @property
    def url(self) -> str:
        """The page, signed in as the first person; whoever has it may act."""
        return next(iter(self.links.values()))

    @property
    def links(self) -> dict[str, str]:
        """The page for each person, by name; a secret of theirs."""
        return self._server.links

    def __enter__(self) -> "Monitor":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Say goodbye to the pages and stop serving. A STOP that was not released still holds."""
        self._server.close()
        self.desk.unsubscribe(self._asked)
        super().close()
        self.log.close()

    def _asked(self, _: Asked | None) -> None:
        self._server.refresh()

    def movie(self, shot: str, frames: int, side: int) -> bytes | None:
        """Of a movie that is kept in memory, or in one of the recordings of this session."""
        packed = super().movie(shot, frames, side)
        for path in reversed(self._recordings):
            packed = packed or recorded_movie(path, shot, frames, side)
        return packed

    def state(self) -> dict[str, Any]:
        """What is shown besides the film."""
        state = super().state()
        recording = self._beamline.camera.recording
        if recording and recording not in self._recordings:
            self._recordings = [*self._recordings[1 - _RECORDINGS :], recording]
        run = state["run"]
        stopped = self.controls.stopped if self.controls else None
        return {
            **state,
            "recording": str(recording or ""),
            "tiled": f"{self._tiled}/ui/browse/{run['uid']}" if self._tiled and run else "",
            "request": self._request(),
            "pulser": self._pulser(),
            "holds": self._holds(),
            "stopped": vars(stopped) if stopped else None,
            "log": list(self.log.recent)[-8:],
        }

    def _request(self) -> dict[str, Any] | None:
        asked = self.desk.asked
        if asked is None:
            return None
        request, pulser = asked.request, self._beamline.pulser
        chances = {str(pulse): chance for pulse, chance in request.candidates}
        try:
            pulser.guard.allow(request.shot, request.pulse)
            guard = "allowed"
        except PulseRefused as error:
            guard = str(error)
        since_s = time.monotonic() - asked.since_s
        return {
            "shot": request.shot,
            "task": request.task,
            "agent": request.agent,
            "reason": request.reason,
            "film": request.film,
            "pulse": plain_pulse(request.pulse),
            "more": request.more,
            "candidates": [
                {**plain_pulse(pulse), "chance": chances.get(str(pulse))} for pulse in request.shown
            ],
            "guard": guard,
            "since_s": since_s,
            "left_s": max(0.0, request.timeout_s - since_s),
        }

    def _pulser(self) -> dict[str, Any]:
        guard = self._beamline.pulser.guard
        envelope, spent = guard.envelope, guard.spent
        refused: Any = self._beamline.pulser.refused.get()
        return {
            "armed": bool(self._beamline.pulser.armed.get()),
            "shots": spent.shots,
            "shots_most": envelope.shots,
            "dose_T2ps": spent.dose_T2ps,
            "dose_most_T2ps": envelope.budget_T2ps,
            "dose_each_T2ps": envelope.dose_T2ps,
            "current_A2s_per_m4": spent.dose_A2s_per_m4,
            "current_most_A2s_per_m4": envelope.rare.budget_A2s_per_m4,
            "refused": int(refused),
        }

    def _holds(self) -> list[dict[str, str]]:
        """Why nothing may be fired now, by who says so; each interlock is asked by the pulser."""
        return [{"who": who, "why": why} for who, why in self._beamline.pulser.hold_reasons()]


def _quantiles(histogram: LatencyHistogram) -> dict[str, float | None]:
    p50, p99 = histogram.quantile(0.5), histogram.quantile(0.99)
    return {
        "p50": None if math.isnan(p50) else round(p50, 3),
        "p99": None if math.isnan(p99) else round(p99, 3),
    }
