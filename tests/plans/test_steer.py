"""A thin film steered through the RunEngine: guard, ledger, movies, documents."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from bluesky import RunEngine
from bluesky.callbacks.json_writer import JSONLinesWriter

from skyctl.agents import steerer as steering
from skyctl.agents.field_sequences import drawn_sequences
from skyctl.agents.steerer import RESETS
from skyctl.agents.wanted import Wanted, WantedPicture
from skyctl.beamline import simulated_beamline
from skyctl.beamline.thin import thin_film_beamline
from skyctl.demo import DOCUMENTS
from skyctl.devices.rare_pulses import RarePulses
from skyctl.inference.latent_film import LatentFilm
from skyctl.pictures import beside_target
from skyctl.plans.modes import Oversight
from skyctl.plans.steer import steer_film
from skyctl.provenance import replay_decisions
from skyctl.pulse import FrameSchedule
from skyctl.recording.reader import Recording
from skyctl.simulators.thin.film import ThinFilm, ThinFilmParameters, s_state
from skyctl.simulators.thin.pulsed import PulsedThinFilm
from skyctl.simulators.thin.spread import drawn_film

FILM = ThinFilmParameters(rows=8, columns=32, cell_nm=(15.6, 15.6, 3.0))
MOVIE = FrameSchedule(duration_ps=1000.0, interval_ps=50.0)
WANTED = Wanted((0.2, 0.9, 0.0), 300.0, 400.0)


class ItsOwnPhysics:
    """In place of a network the nominal film itself, sequence by sequence."""

    card = SimpleNamespace(strongest_T=0.041, horizon_ps=1100.0, files_sha256=())

    def encode(self, m):
        return m

    def imagine(self, z, fields_T):
        courses = [self._course(z[0], one) for one in fields_T]
        mean = np.stack([each[0] for each in courses])
        latent, before = (np.stack([each[k] for each in courses])[None] for k in (1, 2))
        return SimpleNamespace(
            mean=mean, spread=0 * mean[..., 0], latent=latent, latent_before=before
        )

    def decode(self, z):
        return z[0]

    def _course(self, m, fields_T):
        film = ThinFilm(FILM)
        film.magnetisation = m
        states = [m]
        changes = 1 + np.flatnonzero((np.diff(fields_T, axis=0) != 0).any(1))
        for piece in np.split(fields_T, changes):
            times = 10.0 * (1 + np.arange(len(piece)))
            states += film.frames(piece[0], times.tolist())
        return np.array([m.mean((1, 2)) for m in states]), states[-1], states[-2]


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(steering, "_IMAGINED", 8)
    monkeypatch.setattr(steering, "_BEST", 1)
    monkeypatch.setattr(steering, "_NEIGHBOURS", 1)
    monkeypatch.setattr(steering, "_OUT_OF_REACH", 9.0)  # what so few reach is fired all the same
    monkeypatch.setattr("skyctl.agents.imagined_thin_film._FACTORS", np.array([0.95, 1.0, 1.05]))


def steered(line, engine=None, wanted=WANTED, **options):
    engine = engine or RunEngine(call_returns_result=True)
    return engine(steer_film(line, wanted, ItsOwnPhysics(), s_state(FILM), **options)).plan_result


def test_a_film_that_nobody_measured_is_steered_through_guard_and_ledger(tmp_path, few):
    other = drawn_film(FILM, 3)
    assert other != FILM
    documents = []
    engine = RunEngine(call_returns_result=True)
    engine.subscribe(lambda name, doc: documents.append((name, doc)))
    with thin_film_beamline(tmp_path, other, movie=MOVIE, ledger=tmp_path / "ledger.jsonl") as line:
        report = steered(line, engine, shots=2)
        fired = line.pulser.guard.fired
        booked = line.pulser.guard.spent.shots
    assert "the least cost was" in report.task.reason
    assert booked == len(fired) == report.task.pulses
    assert fired[0] not in RESETS  # the film began in its S-state
    shots = [pulse for pulse in fired if pulse not in RESETS]
    assert len(shots) == len(report.costs) == 2
    assert all(pulse.second for pulse in shots)
    # The cost is that of what the film does, from its S-state, under the pulse that was fired.
    film = PulsedThinFilm(other)
    means = np.array([m.mean((1, 2)) for m in film.frames(shots[0], MOVIE.times_ps)])
    cost = WANTED.cost(np.array(MOVIE.times_ps), means)
    assert report.costs[0] == pytest.approx(float(cost), abs=2e-3)
    start = next(doc for name, doc in documents if name == "start")
    assert start["plan_name"] == "steer_film"
    assert start["plan_args"]["wanted"] == WANTED.as_json()
    json.dumps(report.as_json())


def test_a_film_is_made_to_look_like_a_picture_and_the_stream_keeps_its_frame(tmp_path, few):
    at = MOVIE.times_ps.index(350.0)
    nominal = PulsedThinFilm(FILM)
    sequence = drawn_sequences(1, 0.03, 350.0, np.random.default_rng(2))
    image = list(nominal.frames(sequence.pulse(0), MOVIE.times_ps))[at]
    wanted = WantedPicture(image, 350.0)
    with thin_film_beamline(tmp_path, drawn_film(FILM, 3), movie=MOVIE) as line:
        report = steered(line, wanted=wanted, shots=2)
        assert line.streaming.kept_times_ps == ()
        recording = line.camera.recording
    assert len(report.costs) == len(report.shots) == 2
    with Recording(recording) as recorded:
        frames = {start.shot: list(shown) for start, shown, _ in recorded.shots()}
    for shot, cost in zip(report.shots, report.costs, strict=True):
        assert cost == float(wanted.off(frames[shot][at].data.astype(np.float64)))
    beside_target(wanted, frames[report.shots[0]], "a shot", tmp_path / "target.png")
    assert (tmp_path / "target.png").stat().st_size > 1000


def test_a_camera_of_one_component_is_refused_before_anything_is_fired(tmp_path):
    film = PulsedThinFilm(FILM)
    with simulated_beamline(tmp_path, film=film, component="sx") as line:
        with pytest.raises(ValueError, match="the camera shows sx"):
            steered(line)
        assert line.pulser.guard.spent.shots == 0


def test_a_dry_run_fires_nothing(tmp_path, few):
    with thin_film_beamline(tmp_path, FILM, movie=MOVIE) as line:
        report = steered(line, oversight=Oversight("dry-run"))
        assert line.pulser.guard.spent.shots == 0
    assert not report.reached
    assert report.costs == ()


def test_a_pulser_that_may_fire_no_sequences_refuses_and_the_plan_ends(tmp_path, few, monkeypatch):
    plain = steering_envelope().model_copy(update={"rare": RarePulses()})
    monkeypatch.setattr("skyctl.beamline.thin.THIN_ENVELOPE", plain)
    with thin_film_beamline(tmp_path, FILM, movie=MOVIE) as line:
        report = steered(line)
        assert line.pulser.guard.spent.shots == 0
    assert not report.reached
    assert "pulses in a shot" in report.task.reason


@pytest.mark.parametrize("goal", ["mean", "picture"])
def test_what_was_steered_decides_again_from_its_recording_bit_for_bit(tmp_path, few, goal):
    """With the shipped network, of its own film: the only one a replay finds."""
    network = LatentFilm()
    film = ThinFilmParameters.from_dict(network.card.film)
    wanted = Wanted((0.2, 0.9, 0.0), 150.0, 200.0)
    if goal == "picture":
        image = np.zeros((3, film.rows, film.columns))
        image[0], image[1] = 0.6, 0.8
        wanted = WantedPicture(image, 150.0)
    engine = RunEngine({})
    engine.subscribe(JSONLinesWriter(str(tmp_path), DOCUMENTS))
    movie = FrameSchedule(duration_ps=200.0, interval_ps=50.0)
    with thin_film_beamline(tmp_path, drawn_film(film, 3), movie=movie) as line:
        engine(steer_film(line, wanted, network, s_state(film), shots=2))
        file = line.camera.recording
    documents = tmp_path / DOCUMENTS
    assert "after 1 shots" in documents.read_text()  # the second was chosen by what the first did
    with Recording(file) as recording:
        again = replay_decisions(recording, documents)
    assert again.decisions >= 2
    assert (again.differences, again.ended) == ((), "")
    other = documents.read_text().replace(network.card.files_sha256[0], "0" * 64)
    documents.write_text(other)
    with Recording(file) as recording:
        assert "another latent network" in replay_decisions(recording, documents).ended


def steering_envelope():
    from skyctl.beamline.thin import THIN_ENVELOPE

    return THIN_ENVELOPE
