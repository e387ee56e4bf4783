"""Provenance: from a run's documents and frames alone, make all its decisions once more."""

import json
import tempfile
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from bluesky import RunEngine
from bluesky.utils import Msg

from skyctl.agents.reacher import Target
from skyctl.agents.seeker import PulseMemory
from skyctl.agents.wanted import wanted_from_json
from skyctl.beamline import Beamline, replayed_beamline
from skyctl.belief import Belief, Told
from skyctl.decision import NAMES
from skyctl.devices.guard import Envelope, Spent
from skyctl.errors import RecordingError, SkyctlError
from skyctl.inference.latent_film import LatentFilm
from skyctl.inference.model import MovieClassifier
from skyctl.plans import cycle, erase, reach_state, switch, write
from skyctl.plans.campaign import DECISIONS
from skyctl.plans.characterise import characterise
from skyctl.plans.mapping import map_process_diagram
from skyctl.plans.modes import Answer, Oversight, Request
from skyctl.plans.steer import steer_film
from skyctl.recording.reader import Recording
from skyctl.rehearsal import twin_mean_sz
from skyctl.simulators.thin.film import ThinFilmParameters, s_state


@dataclass(frozen=True)
class Differing:
    """A reading of decision ``number`` that came out otherwise; None where there was none."""

    number: int
    reading: str
    recorded: Any
    replayed: Any

    def __str__(self) -> str:
        return (
            f"decision {self.number}, {self.reading}: recorded {self.recorded!r}, "
            f"made again {self.replayed!r}"
        )


@dataclass(frozen=True)
class DecisionReplay:
    """What came of making a run's decisions once more.

    ended : why the run could not be gone through to its end, or ""; a recorded run that was
        aborted ends the replay as well
    more : decisions made again that a run cut short, by an abort or a kill, did not come to record;
        of one that came to its end they are differences
    """

    decisions: int
    differences: tuple[Differing, ...]
    ended: str = ""
    more: int = 0

    @property
    def identical(self) -> bool:
        """Whether every recorded decision came out, bit for bit, and no other one."""
        return not self.differences

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "decisions": self.decisions,
            "identical": self.identical,
            "differences": [vars(each) for each in self.differences],
            "ended": self.ended,
            "more": self.more,
        }


@dataclass(frozen=True)
class RunDocuments:
    """The start document of a run and the readings of its decisions, in order.

    finished : it came to its end, by its stop document
    """

    start: dict[str, Any]
    decisions: tuple[dict[str, Any], ...]
    finished: bool


def read_documents(file: Path, recording: str) -> RunDocuments:
    """The documents of the run whose frames are in the file named ``recording``.

    file : JSON lines, {"name", "doc"}, as bluesky's JSONLinesWriter writes; several runs may follow
        one another. A last line that a kill cut is left out

    Raises RecordingError when it cannot be read or has no such run.
    """
    try:
        text = file.read_text()
        lines = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
        runs: list[list[tuple[str, dict[str, Any]]]] = []
        for name, doc in ((line["name"], line["doc"]) for line in lines):
            if name == "start":
                runs.append([])
            runs[-1].append((name, doc))
        for run in runs:
            if recording in _files(run):
                return RunDocuments(run[0][1], tuple(_decisions(run)), _finished(run))
    except (OSError, ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise RecordingError(
            f"documents {file}: cannot be read ({error!r}). Give JSON lines as `skyctl demo` "
            "writes them beside its recording."
        ) from error
    raise RecordingError(
        f"documents {file}: no run with frames in {recording}. Give the documents of that run."
    )


def _finished(run: list[tuple[str, dict[str, Any]]]) -> bool:
    name, doc = run[-1]
    return name == "stop" and doc["exit_status"] == "success"


def _files(run: list[tuple[str, dict[str, Any]]]) -> set[str]:
    return {
        PurePosixPath(urlsplit(doc["uri"]).path).name
        for name, doc in run
        if name == "stream_resource"
    }


def _decisions(run: list[tuple[str, dict[str, Any]]]) -> Generator[dict[str, Any], None, None]:
    """Readings of each decision, without the device's name; the configuration comes with them."""
    configuration: dict[str, dict[str, Any]] = {}
    prefix = ""
    for name, doc in run:
        if name == "descriptor" and doc["name"] == DECISIONS:
            (device,) = doc["configuration"]
            configuration[doc["uid"]] = doc["configuration"][device]["data"]
            prefix = f"{device}_"
        elif name == "event" and doc["descriptor"] in configuration:
            readings = {**configuration[doc["descriptor"]], **doc["data"]}
            yield {key.removeprefix(prefix): value for key, value in readings.items()}


def replay_decisions(
    recording: Recording, documents: Path, model: MovieClassifier | None = None
) -> DecisionReplay:
    """Run the recorded plan, with the recorded start, against the recorded frames, and compare.

    Same plan, agent, guard and classifier as when it was live; the frames come from the recording
    through stream and hub, the answers of approvers from the documents. Nothing else is known of
    the sample.

    Raises RecordingError for documents of another run or of a plan without agent, ModelError for a
    model that is not there.
    """
    recorded = read_documents(documents, recording.path.name)
    start = recorded.start
    if not {"plan_args", "guard", "belief"} <= set(start) or start["plan_name"] not in _PLANS:
        raise RecordingError(
            f"documents {documents}: {start.get('plan_name', 'this run')} has no agent whose "
            f"decisions could be made again. There are: {', '.join(_PLANS)}."
        )
    if start["plan_args"].get("row_setting", _PULSE_SETTINGS[0]) not in _PULSE_SETTINGS:
        raise RecordingError(
            f"documents {documents}: a map over {start['plan_args']['row_setting']}, which a "
            "device set; nothing of it is in the recording. Only maps over settings of the pulse "
            "can be made again."
        )
    lines: list[tuple[str, dict[str, Any]]] = []
    engine = RunEngine({})
    engine.subscribe(lambda name, doc: lines.append((name, doc)))
    ended = ""
    with (
        tempfile.TemporaryDirectory() as folder,
        replayed_beamline(
            recording,
            Path(folder),
            model=model,
            envelope=Envelope(**start["guard"]["envelope"]),
            spent=Spent(**start["guard"]["spent"]),
        ) as line,
    ):
        believed = start["belief"]
        line.streaming.belief = Belief(np.array(believed["film"]), Told(*believed["told"]))
        oversight = Oversight(start["mode"], _Recorded(recorded.decisions), batch=1)
        plan = _PLANS[start["plan_name"]]
        try:
            engine(plan(line, oversight=oversight, **_arguments(start["plan_args"])))
        except SkyctlError as error:  # the recording is over, or asked for what it has not
            ended = str(error)
    again = tuple(_decisions(lines))
    more = max(0, len(again) - len(recorded.decisions))
    if not recorded.finished:
        again = again[: len(recorded.decisions)]
    return DecisionReplay(
        len(recorded.decisions), tuple(_differences(recorded.decisions, again)), ended, more
    )


def _steer_again(
    line: Beamline[Any], *, wanted: dict[str, Any], network_sha256: list[str], **arguments: Any
) -> Generator[Msg, Any, Any]:
    """`steer_film`, with the shipped network. Raises RecordingError where it was another."""
    network = LatentFilm()
    if network_sha256 != list(network.card.files_sha256):
        raise RecordingError(
            "the run was steered with another latent network than the shipped one, which is "
            f"{network.card.name} {network.card.version}: only what that chose can be made again. "
            "Use the version of skyctl that it ran with."
        )
    start = s_state(ThinFilmParameters.from_dict(network.card.film))
    return (yield from steer_film(line, wanted_from_json(wanted), network, start, **arguments))


_PLANS: dict[str, Callable[..., Generator[Msg, Any, Any]]] = {
    "write": write,
    "switch": switch,
    "erase": erase,
    "reach_state": reach_state,
    "cycle": cycle,
    "characterise": partial(characterise, predict=twin_mean_sz),
    "map_process_diagram": map_process_diagram,
    "steer_film": _steer_again,
}
_PULSE_SETTINGS = ("amplitude_T", "theta_deg")


def _arguments(saved: dict[str, Any]) -> dict[str, Any]:
    arguments = dict(saved)
    if "memory" in arguments:
        arguments["memory"] = PulseMemory.from_json(arguments["memory"])
    if "centre" in arguments:
        arguments["centre"] = tuple(arguments["centre"])
    if "target" in arguments:
        arguments["target"] = Target.from_json(arguments["target"])
    return arguments


class _Recorded:
    """The approvers of a recorded run: what they answered, in order."""

    def __init__(self, decisions: tuple[dict[str, Any], ...]) -> None:
        self._left = [each for each in decisions if each["approval"] != str(Answer(False, ""))]

    def __call__(self, _: Request) -> Answer:
        if not self._left:
            return Answer(False, "", "the recording has no further answer")
        said = self._left.pop(0)
        answer = Answer(bool(said["approved"]), said["approver"])
        return Answer(answer.approved, answer.approver, _comment(said["approval"], answer))


def _comment(approval: str, answer: Answer) -> str:
    return approval.removeprefix(str(answer)).removeprefix(": ")


def _differences(
    recorded: tuple[dict[str, Any], ...], again: tuple[dict[str, Any], ...]
) -> Generator[Differing, None, None]:
    names: dict[str, str] = {}
    for number, one in enumerate(recorded):
        if number >= len(again):
            yield Differing(number, "decision", one["proposal"], None)
            continue
        two = again[number]
        for reading in sorted({*one, *two}):
            left, right = one.get(reading), two.get(reading)
            if reading in NAMES:  # each shot has one name then and one now
                same = names.setdefault(str(left), str(right)) == right
            else:
                same = left == right and type(left) is type(right)
            if not same:
                yield Differing(number, reading, left, right)
    for number in range(len(recorded), len(again)):
        yield Differing(number, "decision", None, again[number]["proposal"])
