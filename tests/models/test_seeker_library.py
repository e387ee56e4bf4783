"""The switching library: what is simulated for it, and what is fitted to that."""

from itertools import islice

import numpy as np
import pytest

from skyctl.agents.imagined_film import switching_inputs
from skyctl.agents.switching_library import SwitchingLibrary
from skyctl.models import seeker_library
from skyctl.models.seeker_library import (
    FIRST_SEED,
    MOVIE,
    SHOTS_PER_FILM,
    LibraryShots,
    PlannedShot,
    fit_library,
    library_shots,
    make_library,
    watch,
)
from skyctl.process import OUTCOMES
from skyctl.pulse import Pulse
from skyctl.simulators.instrument.spread import DrawnSample, SampleSpread
from skyctl.simulators.lattice.film import Film, FilmParameters
from skyctl.simulators.lattice.movies import MovieSpec

SMALL = FilmParameters(rows=12, columns=12)


def test_shots_do_not_depend_on_where_one_begins():
    whole = list(islice(library_shots(3), 3))
    rest = list(library_shots(3, first=2))
    assert rest[0].pulse == whole[2].pulse
    assert rest[0].sample == whole[2].sample
    assert np.array_equal(rest[0].shot.start, whole[2].shot.start)


def test_neighbours_share_their_skyrmion_and_differ_in_all_else():
    one, two = islice(library_shots(2), 2)
    a, b = one.sample.parameters, two.sample.parameters
    assert (a.anisotropy_meV, a.dmi_meV) == (b.anisotropy_meV, b.dmi_meV)
    assert a.damping != b.damping
    assert a.moment_muB != b.moment_muB
    assert one.pulse != two.pulse
    assert one.shot.pulse.amplitude_T == pytest.approx(
        one.pulse.amplitude_T * one.sample.field_calibration
    )


def test_no_sample_of_a_benchmark_is_in_the_library():
    """Benchmarks draw their samples by seeds below a million."""
    assert FIRST_SEED > 1_000_000
    (shot,) = library_shots(1)
    drawn = SampleSpread().draw(FIRST_SEED).parameters
    assert shot.sample.parameters.dmi_meV == drawn.dmi_meV


def test_a_film_of_another_moment_is_the_same_film_in_other_units():
    """1.25 times the moment: 0.8 times the field and 1.25 times the time, through equal states."""
    moment = 0.6
    rng = np.random.default_rng(1)
    spins = rng.normal(size=(3, 12, 12))
    ends, rows = [], []
    for factor in (1.0, 1.25):
        parameters = FilmParameters(rows=12, columns=12, moment_muB=moment * factor)
        pulse = Pulse(amplitude_T=2.0 / factor, width_ps=5.0 * factor, peak_ps=10.0 * factor)
        film = Film(parameters)
        film.spins = spins
        film.advance(30.0 * factor, pulse, max_step_ps=0.002 * factor)
        ends.append(film.spins)
        p = parameters
        sample = [[p.damping, p.moment_muB, p.anisotropy_meV, p.dmi_meV, 1.0]]
        rows.append(
            switching_inputs(
                np.array(sample), np.array([[pulse.amplitude_T, 40.0, pulse.width_ps]])
            )
        )
    assert ends[0] == pytest.approx(ends[1], abs=1e-6)
    assert rows[0] == pytest.approx(rows[1])


def frames_of(shot: MovieSpec, states: list[float]):
    """Uniform films of these S_z, one a frame time; says how many were asked for."""
    asked = []

    def frames():
        for sz in states:
            asked.append(sz)
            film = np.zeros((3, 12, 12))
            film[2] = sz
            film[0] = np.sqrt(1 - sz**2)
            yield film

    return asked, watch(shot, frames())


def test_a_collapse_is_watched_until_the_film_is_empty_and_no_longer():
    pulse = Pulse(width_ps=10.0)  # weak from 65 ps on
    shot = MovieSpec(SMALL, (*MOVIE.times_ps, 265.0), pulse)
    asked, (trace, before, after) = frames_of(shot, [-1.0] * 5 + [1.0] * 30)
    assert len(asked) == 14
    assert trace.shape == (34,)
    assert trace[-1] == 1.0
    assert (before.background, after.background) == (-1, 1)


def test_a_shot_without_a_pulse_is_refused():
    with pytest.raises(ValueError, match="without a pulse"):
        watch(MovieSpec(SMALL, (0.0,), None), iter(()))


@pytest.fixture
def tiny(monkeypatch):
    """Small empty films instead of skyrmions."""

    def shots(count, first=0):
        for i in range(first, count):
            pulse = Pulse(amplitude_T=1.0 + i, width_ps=10.0)
            times = (*MOVIE.times_ps, 265.0)
            yield PlannedShot(DrawnSample(SMALL), pulse, MovieSpec(SMALL, times, pulse, "empty"))

    monkeypatch.setattr(seeker_library, "library_shots", shots)


def test_a_stopped_library_goes_on_where_it_was(tiny, tmp_path):
    told = []
    make_library(2, tmp_path / "a.h5", threads=1)
    gone_on = make_library(3, tmp_path / "a.h5", threads=1, progress=told.append)
    at_once = make_library(3, tmp_path / "b.h5", threads=1)
    assert told == [3]
    assert len(gone_on) == 3
    for name, values in vars(at_once).items():
        assert np.array_equal(getattr(gone_on, name), values), name
    assert gone_on.pulses[:, 0].tolist() == [1.0, 2.0, 3.0]


def made_up(count: int, seed: int = 0) -> LibraryShots:
    """Switches where the delivered field is above 2.5 T, breathes below; flips earlier in more."""
    rng = np.random.default_rng(seed)
    samples = np.column_stack(
        [
            rng.uniform(0.08, 0.45, count), np.full(count, 0.6), rng.uniform(0.09, 0.11, count),
            rng.uniform(0.23, 0.25, count), np.ones(count),
        ]
    )  # fmt: skip
    pulses = np.column_stack(
        [rng.uniform(2, 3, count), rng.uniform(25, 68, count), rng.uniform(10, 28, count)]
    )
    switches = pulses[:, 0] > 2.5
    times = np.array(MOVIE.times_ps)
    flip = 40 + 20 * (3 - pulses[:, :1])
    traces = np.where(switches[:, None], np.clip((times - flip) / 20, -1, 1), -0.9)
    names = np.where(switches, "switching", "breathing")
    outcomes = np.array([OUTCOMES.index(name) for name in names])
    sizes = np.round(50 * np.exp(20 * (samples[:, 3] - 0.24)))
    return LibraryShots(samples, pulses, sizes, traces, outcomes)


def test_the_fit_finds_a_rule_that_is_there(tmp_path, monkeypatch):
    monkeypatch.setattr(seeker_library, "_MEMBERS", 1)
    monkeypatch.setattr(seeker_library, "SAMPLES", 12)
    monkeypatch.setitem(seeker_library._NETWORK, "max_iter", 150)
    steps = []
    report = fit_library(
        made_up(600), tmp_path / "x.npz", command="again", progress=lambda: steps.append(1)
    )
    assert len(steps) == 6
    assert report.log_loss < 0.35 * report.prior_log_loss
    assert report.switched > 0.95
    assert report.spread["flip_ps"] < 1.5
    assert report.spread["log_size"] < 0.05
    library = SwitchingLibrary.load(tmp_path / "x.npz")
    assert library.about["command"] == "again"
    assert library.about["fit"]["shots"] == 600
    strong, weak = library.pulses[:, 0] > 2.7, library.pulses[:, 0] < 2.3
    delivered = library.samples[:, 4] * library.samples[:, 1] / 0.6
    true_one = np.abs(delivered - 1) < 0.06
    switching = library.chances[true_one][:, :, OUTCOMES.index("switching")]
    assert switching[:, strong].mean() > 0.8
    assert switching[:, weak].mean() < 0.2


def test_equal_shots_make_an_equal_file(tmp_path, monkeypatch):
    """So that whoever runs the command again gets the library that is shipped."""
    monkeypatch.setattr(seeker_library, "_MEMBERS", 1)
    monkeypatch.setattr(seeker_library, "SAMPLES", 3)
    monkeypatch.setitem(seeker_library._NETWORK, "max_iter", 3)
    files = []
    for name in "ab":
        fit_library(made_up(100), tmp_path / name, command="again")
        files.append((tmp_path / name).read_bytes())
    assert files[0] == files[1]


@pytest.mark.parametrize("shots", [made_up(SHOTS_PER_FILM), made_up(0)])
def test_too_few_shots_are_refused(tmp_path, shots):
    with pytest.raises(ValueError, match="simulate more"):
        fit_library(shots, tmp_path / "x.npz")
