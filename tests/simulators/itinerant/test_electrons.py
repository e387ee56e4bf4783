"""The s–d magnet: energies measured by an independent program, symmetries, finite differences."""

from itertools import pairwise

import numpy as np
import pytest

from skyctl.simulators.itinerant.electrons import (
    FOUR_TWISTS,
    Electrons,
    equilibrium,
    hamiltonian,
    helix,
    lattice_charge,
    order_peaks,
    perpendicular,
    random_spins,
    skyrmion_lattice,
    structure_factor,
)
from skyctl.simulators.itinerant.film import midpoint_step
from skyctl.simulators.itinerant.kernel_polynomial import KernelPolynomial

WARM = Electrons(temperature=0.05)


def field_among(spins, half_on):
    return perpendicular(spins, equilibrium(WARM, spins).field)


def spins_of(rows=12, columns=12, seed=0):
    return random_spins(rows, columns, np.random.default_rng(seed))


def rotation():
    q, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))
    return q * np.linalg.det(q)


def turned_by_60_deg(field):
    side = field.shape[-1]
    row, column = np.mgrid[:side, :side]
    out = np.empty_like(field)
    out[..., (column + row) % side, -row % side] = field
    return out


@pytest.mark.parametrize(
    ("order", "energy"), [("ferromagnet", -0.3693), ("helix", -0.3873), ("skyrmions", -0.3850)]
)
def test_energies_are_those_measured_independently(order, energy):
    ferromagnet = np.zeros((3, 24, 24))
    ferromagnet[2] = 1
    spins = {
        "ferromagnet": ferromagnet,
        "helix": helix(24, 24),
        "skyrmions": skyrmion_lattice(24, 24),
    }[order]
    assert equilibrium(Electrons(), spins).grand_potential == pytest.approx(energy, abs=6e-5)


def test_a_ferromagnet_has_the_analytic_bands():
    ferromagnet = np.zeros((3, 7, 9))
    ferromagnet[2] = 1
    a, b = 2 * np.pi * np.mgrid[:7, :9] / np.array([7, 9])[:, None, None]
    near = np.cos(a) + np.cos(b) + np.cos(a - b)
    far = np.cos(2 * a) + np.cos(2 * b) + np.cos(2 * (a - b))
    bare = (-2 * (near - 0.85 * far)).ravel()
    expected = np.sort(np.concatenate([bare - 1, bare + 1]))
    energies = np.linalg.eigvalsh(hamiltonian(Electrons(), ferromagnet))
    np.testing.assert_allclose(energies, expected, atol=1e-12)
    lowest, highest = Electrons().band
    assert lowest <= expected[0]
    assert highest >= expected[-1]


def test_the_field_is_the_slope_of_the_energy():
    spins, step = spins_of(6, 7), 1e-4
    field = equilibrium(WARM, spins).field
    for site in ((0, 0), (3, 5)):
        s = spins[:, *site]
        for axis in np.eye(3):
            across = np.cross(s, axis)
            energies = []
            for angle in (step, -step):
                moved = spins.copy()
                # To third order in the step the length stays 1.
                moved[:, *site] = (s + angle * across) / np.linalg.norm(s + angle * across)
                energies.append(equilibrium(WARM, moved).grand_potential * 42)
            slope = (energies[0] - energies[1]) / (2 * step)
            assert slope == pytest.approx(-field[:, *site] @ across, abs=1e-6)


def test_the_field_turns_with_spins_and_lattice():
    spins = spins_of(6, 6)
    field = equilibrium(WARM, spins).field
    q = rotation()
    turned = equilibrium(WARM, np.einsum("ab,bij->aij", q, spins)).field
    np.testing.assert_allclose(turned, np.einsum("ab,bij->aij", q, field), atol=1e-12)
    np.testing.assert_allclose(
        equilibrium(WARM, turned_by_60_deg(spins)).field, turned_by_60_deg(field), atol=1e-12
    )
    np.testing.assert_allclose(equilibrium(WARM, -spins).field, -field, atol=1e-12)


def test_four_twists_are_a_lattice_of_twice_the_side():
    spins = spins_of(6, 8)
    twisted, large = (
        equilibrium(WARM, spins, FOUR_TWISTS),
        equilibrium(WARM, np.tile(spins, (2, 2))),
    )
    np.testing.assert_allclose(np.tile(twisted.field, (2, 2)), large.field, atol=1e-12)
    assert twisted.grand_potential == pytest.approx(large.grand_potential, abs=1e-12)
    assert twisted.filling == pytest.approx(large.filling, abs=1e-12)


def test_single_precision_is_good_to_a_hundred_thousandth_of_the_field():
    spins = spins_of()
    double = perpendicular(spins, equilibrium(WARM, spins).field)
    single = perpendicular(spins, equilibrium(WARM, spins, precision="f4").field)
    assert np.abs(single - double).max() < 1e-4 * np.linalg.norm(double, axis=0).mean()


def relative_error(field, spins):
    exact = perpendicular(spins, equilibrium(WARM, spins).field)
    off = np.linalg.norm(perpendicular(spins, field) - exact, axis=0).mean()
    return off / np.linalg.norm(exact, axis=0).mean()


def test_kernel_polynomials_converge_to_diagonalisation():
    spins = spins_of(6, 6)
    errors = {
        (kernel, moments): relative_error(
            KernelPolynomial(WARM, moments, 6, kernel=kernel)(spins), spins
        )
        for kernel, moments in (("none", 300), ("none", 600), ("jackson", 500), ("jackson", 1000))
    }
    assert errors["none", 600] < 1e-5
    assert errors["none", 600] < errors["none", 300] / 30  # exponential
    assert errors["jackson", 1000] < 1.5e-2
    assert errors["jackson", 500] / errors["jackson", 1000] == pytest.approx(4, rel=0.2)


def test_kernel_polynomials_give_energy_and_filling():
    spins = spins_of(6, 6)
    exact = equilibrium(WARM, spins)
    series = KernelPolynomial(WARM, 800, probe=6, kernel="none").equilibrium(spins)
    assert series.grand_potential == pytest.approx(exact.grand_potential, abs=1e-9)
    assert series.filling == pytest.approx(exact.filling, abs=1e-9)


def test_sites_of_a_colour_answer_for_each_other_the_less_the_farther_they_are():
    hot = Electrons(temperature=0.5)  # a short density matrix
    spins = spins_of(12, 12)
    exact = perpendicular(spins, equilibrium(hot, spins).field)
    errors = [
        np.abs(KernelPolynomial(hot, 100, probe, kernel="none")(spins) - exact).max()
        for probe in (3, 6, 12)
    ]
    assert all(b < a / 2 for a, b in pairwise(errors))
    assert errors[-1] < 1e-6


def test_orders_have_their_peaks_and_charges():
    spins = skyrmion_lattice(24, 36)
    s = structure_factor(spins)
    assert s.sum() == pytest.approx(1)
    highest = {tuple(map(int, np.unravel_index(k, s.shape))) for k in np.argsort(s, axis=None)[-6:]}
    assert highest == set(order_peaks(24, 36))
    assert abs(lattice_charge(spins)) == pytest.approx(24 * 36 / 48)
    assert lattice_charge(spins * np.array([-1, 1, 1])[:, None, None]) == pytest.approx(
        -lattice_charge(spins)
    )
    assert lattice_charge(helix(24, 24)) == pytest.approx(0, abs=1e-9)


def test_the_truths_dynamics_lower_the_energy_and_keep_the_spins():
    spins = skyrmion_lattice(12, 12, spread=0.3, rng=np.random.default_rng(1))
    energies = []
    for _ in range(6):
        energies.append(equilibrium(WARM, spins).grand_potential)
        spins = midpoint_step(spins, field_among, 5.0, 0.2)
    assert all(b < a for a, b in pairwise(energies))
    np.testing.assert_allclose(np.linalg.norm(spins, axis=0), 1, atol=1e-14)


def test_the_truths_dynamics_are_of_second_order_and_keep_the_energy_without_damping():
    start = spins_of(6, 6)

    def moved(steps):
        spins = start
        for _ in range(steps):
            spins = midpoint_step(spins, field_among, 32 / steps, 0.0)
        return spins

    exact, (coarse, fine) = moved(32), (moved(n) for n in (4, 8))
    assert np.abs(fine - exact).max() < np.abs(coarse - exact).max() / 3.5
    energies = [equilibrium(WARM, spins).grand_potential for spins in (start, exact)]
    assert energies[0] == pytest.approx(energies[1], abs=2e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"chemical_potential": 20.0}, "outside their band"),
        ({"chemical_potential": -5.6}, "outside their band"),
        ({"temperature": 0.0}, "must be above 0"),
        ({"coupling": np.nan}, "finite"),
    ],
)
def test_impossible_electrons_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Electrons(**change)


def test_bad_spins_and_lattices_are_refused():
    with pytest.raises(ValueError, match="not normalised"):
        equilibrium(WARM, 1.1 * spins_of())
    with pytest.raises(ValueError, match="not normalised"):
        equilibrium(WARM, np.full((3, 6, 6), np.nan))
    with pytest.raises(ValueError, match="shape"):
        equilibrium(WARM, spins_of(4, 12))
    with pytest.raises(ValueError, match="12 divides"):
        skyrmion_lattice(18, 24)
    with pytest.raises(ValueError, match="12 divides"):
        helix(24, 30)
    with pytest.raises(ValueError, match="rng"):
        skyrmion_lattice(12, 12, spread=0.1)
    with pytest.raises(ValueError, match="multiples of the probe"):
        KernelPolynomial(WARM, 100, probe=5)(spins_of())
    with pytest.raises(ValueError, match="moments"):
        KernelPolynomial(WARM, 1)
    with pytest.raises(ValueError, match="kernel 'lanczos'"):
        KernelPolynomial(WARM, kernel="lanczos")  # pyright: ignore[reportArgumentType]
