"""Films that were published; what was measured on them is measured again by ``proof``."""

import pytest

from skyctl.simulators.lattice.film import FilmParameters
from skyctl.simulators.lattice.presets import FILMS, PAPER, film_named


@pytest.mark.parametrize("name", FILMS)
def test_a_preset_says_where_it_is_from_and_gives_its_constants_back(name):
    film, p = FILMS[name], film_named(name)
    assert any(year in film.source for year in ("2013", "2015"))
    a, t = p.lattice_nm * 1e-9, film.thickness_m
    per_J = 1.602176634e-22
    assert p.exchange_meV * per_J / (2 * t) == pytest.approx(film.exchange_J_per_m)
    assert p.dmi_meV * per_J / (t * a) == pytest.approx(film.dmi_J_per_m2)
    assert p.interfacial_dmi_meV * per_J / (t * a) == pytest.approx(film.interfacial_dmi_J_per_m2)
    assert p.anisotropy_meV * per_J / (t * a**2) == pytest.approx(film.anisotropy_J_per_m3)
    magnetisation = p.moment_muB * 9.2740100783e-24 / (t * a**2)
    assert magnetisation == pytest.approx(film.magnetisation_A_per_m)


def test_the_papers_film_is_the_default_and_an_unknown_one_is_refused():
    assert film_named(PAPER) == FilmParameters()
    with pytest.raises(ValueError, match="paper, fege, pdfeir, ptco"):
        film_named("permalloy")
