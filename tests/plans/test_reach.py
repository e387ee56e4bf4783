"""`reach_state`: through guarded pulser, stream and looks, and told in the documents."""

import numpy as np
from bluesky import RunEngine

from skyctl.agents.reacher import Target
from skyctl.beamline import simulated_beamline
from skyctl.devices.guard import Envelope
from skyctl.inference.film_reader import read_film
from skyctl.plans import reach_state
from skyctl.plans.modes import Oversight
from skyctl.simulators.lattice.film import FilmParameters

TARGET = Target(((24.0, 36.0),))
PARAMETERS = FilmParameters(rows=64, columns=56)


def reach(tmp_path, shots=6, **options):
    documents = []
    with simulated_beamline(tmp_path, parameters=PARAMETERS, **options) as beamline:
        engine = RunEngine({}, call_returns_result=True)
        engine.subscribe(lambda name, document: documents.append((name, document)))
        report = engine(reach_state(beamline, TARGET, shots=shots)).plan_result
        film = read_film(beamline.sample._film.spins[2].astype(np.float32), pixel_sites=1.0)
    return report, film, documents


def test_a_skyrmion_comes_to_stand_at_its_place_and_every_pulse_is_told(tmp_path):
    report, film, documents = reach(tmp_path)
    assert report.reached
    assert film.has_one_skyrmion
    (x, y, _), (wanted_x, wanted_y) = film.places[0], TARGET.places[0]
    assert np.hypot(x - wanted_x, y - wanted_y) < 3.2
    start = next(document for name, document in documents if name == "start")
    assert start["plan_name"] == "reach_state"
    assert Target.from_json(start["plan_args"]["target"]) == TARGET
    decisions = {
        d["uid"] for name, d in documents if name == "descriptor" and d["name"] == "decisions"
    }
    told = sum(name == "event" and d["descriptor"] in decisions for name, d in documents)
    assert told == report.pulses >= 1


def test_pulses_stay_within_the_envelope_and_what_is_not_reached_is_said_so(tmp_path):
    report, film, _ = reach(tmp_path, shots=2, envelope=Envelope(dose_T2ps=50.0))
    assert not report.reached
    assert film.is_empty
    assert max(pulse.dose_T2ps for pulse in report.proposed) <= 50.0


def test_a_dry_run_fires_nothing(tmp_path):
    with simulated_beamline(tmp_path, parameters=PARAMETERS) as beamline:
        engine = RunEngine({}, call_returns_result=True)
        plan = reach_state(beamline, TARGET, oversight=Oversight("dry-run"))
        report = engine(plan).plan_result
        assert (report.reached, report.pulses, len(report.proposed)) == (False, 0, 1)
