"""The state check of a beamline: its limit is found once, and the file says of which film."""

import pytest

from skyctl.beamline import load_beamline, states
from skyctl.beamline.file import read_beamline
from skyctl.beamline.states import calibrated_check, kept_check
from skyctl.errors import InstrumentError
from skyctl.simulators.instrument.imaging import Imaging
from skyctl.simulators.instrument.spread import SampleSpread
from skyctl.simulators.lattice.film import FilmParameters

SMALL = FilmParameters(rows=32, columns=32)
BEAMLINE = """
name = "test"
[pulser]
driver = "scpi-pulser"
transport = "scpi"
address = "127.0.0.1:1"
envelope = { shots = 20, budget_T2ps = 2e4 }
[camera]
driver = "scpi-camera"
transport = "scpi"
address = "127.0.0.1:1"
shape = [40, 40]
frames = { source = "scpi", address = "127.0.0.1:1", offset = 0.0, scale = 1.0 }
[film]
dmi_meV = 0.3
[states]
noise = 0.1
"""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(states, "cache_folder", lambda: tmp_path / "cache" / "numba")
    return tmp_path / "cache" / "states"


@pytest.fixture
def found(monkeypatch):
    """The films whose limits were found anew; each is 0.5."""
    films = []

    def calibrated(parameters, *_):
        films.append(parameters)
        return states.state_check(parameters, 0.5)

    monkeypatch.setattr(states, "calibrated_check", calibrated)
    return films


def test_a_limit_is_found_by_states_of_every_kind_and_told_apart_from_a_torn_film():
    imaging = Imaging(gaussian_noise=0.1, seed=2)
    check = calibrated_check(SMALL, imaging)
    normal = list(states.normal_states(SMALL, SampleSpread(), range(100, 104)))
    assert len(normal) == 12
    scores = [check.score(imaging.image(state, shot=900 + k)) for k, state in enumerate(normal)]
    assert max(scores) < 1.5 * check.limit
    torn = normal[2].copy()
    torn[:, 16:] *= -1
    assert check.score(imaging.image(torn, shot=950)) > check.limit


def test_a_limit_is_found_once_for_a_film_and_a_camera(found, cache):
    assert [kept_check(SMALL).limit for _ in range(2)] == [0.5, 0.5]
    assert len(found) == 1
    kept_check(SMALL, Imaging(gaussian_noise=0.2))
    kept_check(FilmParameters(rows=40, columns=42))
    assert len(found) == 3
    for kept in cache.iterdir():
        kept.write_text("0.", encoding="ascii")  # cut short
    assert kept_check(SMALL).limit == 0.5
    assert len(found) == 4


def test_a_cache_that_cannot_be_written_costs_no_more_than_time(found, tmp_path):
    (tmp_path / "cache").write_text("a file")
    assert kept_check(SMALL).limit == 0.5


def test_a_beamline_s_file_says_the_film_and_its_twin_is_checked_by_it(found, tmp_path):
    path = tmp_path / "beamline.toml"
    path.write_text(BEAMLINE)
    with load_beamline(path, mock=True) as twin:
        assert twin.classifier.off_states.get() == 0
    (film,) = found
    assert (film.rows, film.columns, film.dmi_meV) == (40, 40, 0.3)
    assert read_beamline(path).film_parameters() == film
    path.write_text(BEAMLINE.replace("noise = 0.1", "noise = 0.2"))
    with load_beamline(path, mock=True, folder=tmp_path / "again", counts=True):
        assert len(found) == 1  # counts are no S_z: nothing is checked


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (("dmi_meV = 0.3", "dmi = 0.3"), "film: dmi is not said here"),
        (("dmi_meV = 0.3", "rows = 3"), "film: rows is not said here"),
        (("dmi_meV = 0.3", "moment_muB = 0"), "moment_muB = 0: must be above 0"),
        (("noise = 0.1", "noise = nan"), "states.noise"),
        (("shape =", "pixel_sites = 2.0\nshape ="), r"\[states\].*one pixel a site is needed"),
        (("dmi_meV = 0.3", "dmi_meV = 0.03"), r"\[states\].*smaller than half of its helix"),
        (("dmi_meV = 0.3", "exchange_meV = -1"), r"\[states\].*exchange_meV = -1"),
    ],
)
def test_a_film_that_cannot_be_checked_is_refused_by_name(change, fault, tmp_path):
    path = tmp_path / "beamline.toml"
    path.write_text(BEAMLINE.replace(*change))
    with pytest.raises(InstrumentError, match=fault):
        load_beamline(path, mock=True)
