"""The shipped switching library, and files that are none."""

import contextlib
import io
from importlib import resources

import numpy as np
import pytest

from skyctl.agents.library_file import LibraryError
from skyctl.agents.outcome import SzSignals, certain
from skyctl.agents.switching_library import Evidence, SwitchBelief, SwitchingLibrary
from skyctl.devices.guard import Envelope, Guard
from skyctl.process import OUTCOMES


@pytest.fixture(scope="module")
def shipped():
    return SwitchingLibrary.load()


def test_the_shipped_library_fits_together(shipped):
    samples, pulses = len(shipped.samples), len(shipped.pulses)
    assert shipped.chances.shape == (samples, pulses, len(OUTCOMES))
    assert shipped.flip_ps.shape == shipped.furthest.shape == (samples, pulses)
    assert shipped.log_size.shape == (samples,)
    assert shipped.chances.sum(-1) == pytest.approx(np.ones((samples, pulses)), abs=2e-3)
    assert shipped.chances.min() > 0
    assert set(shipped.spread) == {"flip_ps", "furthest", "log_size"}


def test_the_default_envelope_allows_every_pulse_of_it(shipped):
    guard = Guard(Envelope())
    for pulse in shipped.as_pulses:
        guard.check(pulse)


def test_it_is_small_enough_to_ship(shipped):
    data = io.BytesIO()
    np.savez_compressed(data, a=shipped.chances.astype(np.float16))
    assert len(data.getvalue()) < 3e6


def test_a_larger_skyrmion_means_stronger_dmi_or_weaker_anisotropy(shipped):
    """What sets its size: D²/K (A. N. Bogdanov and D. A. Yablonskii, JETP 68, 101, 1989)."""
    pull = shipped.samples[:, 3] ** 2 / shipped.samples[:, 2]
    assert np.corrcoef(pull, shipped.log_size)[0, 1] > 0.8


def test_weights_are_a_distribution_and_nothing_is_ruled_out(shipped):
    belief = SwitchBelief(shipped)
    belief.saw_skyrmion(10_000)  # which no sample shows
    assert belief.weights.sum() == pytest.approx(1.0)
    assert belief.weights.min() > 0


def test_many_shots_leave_some_weight_to_other_samples(shipped):
    """No sample is exactly one of the library's."""
    belief = SwitchBelief(shipped)
    likeliest = shipped.chances[0].argmax(1)
    for pulse in range(0, len(shipped.pulses), 4):
        expected = SzSignals(shipped.flip_ps[0, pulse], shipped.furthest[0, pulse])
        belief.saw(Evidence(pulse, tuple(certain(OUTCOMES[likeliest[pulse]])), expected))
    assert belief.weights.argmax() == 0
    assert belief.weights.max() > 0.9
    assert belief.weights[1:].sum() > 0.04


def test_one_skyrmion_seen_often_is_one_observation(shipped):
    once, often = SwitchBelief(shipped), SwitchBelief(shipped)
    once.saw_skyrmion(60)
    for _ in range(50):
        often.saw_skyrmion(60)
    assert often.weights == pytest.approx(once.weights)


def test_shots_taken_alone_are_a_belief_of_their_own(shipped):
    """With the sizes that were seen between them, and no others."""
    whole, alone = SwitchBelief(shipped), SwitchBelief(shipped)
    shots = [Evidence(pulse, (0.1, 0.6, 0.3, 0.0), SzSignals(5.0, np.nan)) for pulse in range(6)]
    for number, shot in enumerate(shots):
        whole.saw_skyrmion(40 + number)
        whole.saw(shot)
    whole.saw_skyrmion(99)
    for number in (4, 5):
        alone.saw_skyrmion(40 + number)
        alone.saw(shots[number])
    alone.saw_skyrmion(99)
    assert whole.of_shots(4, 6).as_json() == alone.as_json()
    assert [size[0] for size in whole.of_shots(0, 2).as_json()["sizes"]] == [0, 1]


def test_memory_of_another_library_is_refused(shipped):
    saved = {**SwitchBelief(shipped).as_json(), "sha256": "0" * 64}
    with pytest.raises(LibraryError, match=r"000000000000.*Use the same version"):
        SwitchBelief.from_json(saved)


@pytest.mark.parametrize("content", [b"", b"not a library", b"PK\x03\x04"])
def test_a_file_that_is_no_library_says_so(tmp_path, content):
    file = tmp_path / "x.npz"
    file.write_bytes(content)
    with pytest.raises(LibraryError, match="skyctl train seeker"):
        SwitchingLibrary.load(file)


def test_arrays_of_something_else_are_no_library(tmp_path):
    file = tmp_path / "x.npz"
    np.savez(file, samples=np.zeros(3), spread=np.array("{}"))
    with pytest.raises(LibraryError, match="skyctl train seeker"):
        SwitchingLibrary.load(file)


def test_a_library_with_flipped_bytes_or_none_is_a_library_error(tmp_path):
    whole = resources.files("skyctl.agents").joinpath("switching.npz").read_bytes()
    path, rng = tmp_path / "library.npz", np.random.default_rng(0)
    for _ in range(60):
        broken = bytearray(whole)
        for i in rng.integers(0, len(broken), 8):
            broken[i] ^= int(rng.integers(1, 256))
        path.write_bytes(broken)
        with contextlib.suppress(LibraryError):
            SwitchingLibrary.load(path)
    with pytest.raises(LibraryError, match="skyctl train seeker"):
        SwitchingLibrary.load(tmp_path / "none.npz")


FILM = {"damping": 0.3, "moment_muB": 0.6, "anisotropy_meV": 0.1, "dmi_meV": 0.24}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({}, ""),
        ({"easy_axis": [0.0, 0.0, 1.0], "interfacial_dmi_meV": 0.0, "periodic": False}, ""),
        (
            {"dmi_meV": 0.0, "interfacial_dmi_meV": 0.24},
            "dmi_meV is 0, interfacial_dmi_meV is 0.24",
        ),
        ({"damping": 0.9}, "damping is 0.9"),
        ({"easy_axis": (0.6, 0.0, 0.8)}, "its easy axis is not z"),
        ({"periodic": True}, "it is periodic"),
        ({"bias_T": (0.0, 0.0, -1.0)}, "it is in a field"),
    ],
)
def test_the_shipped_library_says_for_which_films_it_was_made(change, fault):
    library = SwitchingLibrary.load()
    assert "bulk DMI" in library.made_for
    found = library.outside({**FILM, **change})
    assert found.endswith(fault)
    assert bool(found) == bool(fault)
    if found:
        assert library.made_for in found
    holed = np.arange(100).reshape(10, 10) > 6
    assert library.outside({**FILM, **change}, holed).endswith("7% of its sites are missing")
