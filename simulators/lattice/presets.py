"""Films that were published, as films of this lattice: their constants, and where those are from.

A film of thickness t with exchange A, DMI D (bulk or interfacial), anisotropy K and magnetisation M
is, on square cells of side a: J = 2At, D_bond = Dta, K_site = Kta², μ = Mta² (a bond's energy is
-J S·S, its gradient J/2 |∇S|²). Thinner than its exchange length it is magnetised alike through t;
the stray field, which is not computed, is in the effective anisotropy where a paper gives that.
`skyctl verify` measures on each a number that was published for it (``proof.published_films``).

Read again elsewhere: A, D and M of FeGe in its authors' own data for the DMI standard problem (D.
Cortés-Ortuño et al., New J. Phys. 20, 113015, third problem; 10.5281/zenodo.1174311), M and D of
Pd/Fe/Ir(111) in Fidimag's scripts of the paper. Its A and K, and all of Pt/Co, were not read again.
"""

from dataclasses import dataclass

from skyctl.simulators.lattice.film import FilmParameters

_MEV_PER_J = 1 / 1.602176634e-22
_MU_B_J_PER_T = 9.2740100783e-24


@dataclass(frozen=True)
class PublishedFilm:
    """Constants of a film, as they were published.

    exchange_J_per_m, dmi_J_per_m2, interfacial_dmi_J_per_m2, anisotropy_J_per_m3,
    magnetisation_A_per_m, thickness_m : A, D, D', K, M, t
    cell_m : a, chosen here: several to the shortest length of the film
    source : where all of them are from; what : in a line
    """

    what: str
    source: str
    exchange_J_per_m: float
    magnetisation_A_per_m: float
    thickness_m: float
    cell_m: float
    damping: float
    dmi_J_per_m2: float = 0.0
    interfacial_dmi_J_per_m2: float = 0.0
    anisotropy_J_per_m3: float = 0.0

    @property
    def parameters(self) -> FilmParameters:
        """The film on the lattice, of the default size."""
        t, a = self.thickness_m, self.cell_m
        return FilmParameters(
            exchange_meV=2 * self.exchange_J_per_m * t * _MEV_PER_J,
            dmi_meV=self.dmi_J_per_m2 * t * a * _MEV_PER_J,
            interfacial_dmi_meV=self.interfacial_dmi_J_per_m2 * t * a * _MEV_PER_J,
            anisotropy_meV=self.anisotropy_J_per_m3 * t * a**2 * _MEV_PER_J,
            moment_muB=self.magnetisation_A_per_m * t * a**2 / _MU_B_J_PER_T,
            damping=self.damping,
            lattice_nm=float(f"{a * 1e9:.12g}"),
        )


FILMS: dict[str, PublishedFilm] = {
    "fege": PublishedFilm(
        what="FeGe plate of 10 nm, bulk DMI: helices of 70 nm",
        source="M. Beg et al., Sci. Rep. 5, 17137 (2015)",
        exchange_J_per_m=8.78e-12,
        dmi_J_per_m2=1.58e-3,
        magnetisation_A_per_m=384e3,
        thickness_m=10e-9,
        cell_m=2.5e-9,
        damping=0.28,
    ),
    "pdfeir": PublishedFilm(
        what="Pd/Fe/Ir(111), interfacial DMI: cycloids of 6 to 7 nm",
        source="N. Romming et al., Phys. Rev. Lett. 114, 177203 (2015)",
        exchange_J_per_m=2.0e-12,
        interfacial_dmi_J_per_m2=3.9e-3,
        anisotropy_J_per_m3=2.5e6,
        magnetisation_A_per_m=1.1e6,
        thickness_m=0.4e-9,
        cell_m=0.271e-9,
        damping=0.1,
    ),
    "ptco": PublishedFilm(
        what="Pt/Co of 0.6 nm, interfacial DMI near where its walls cost nothing, 3.6 mJ/m²",
        source="S. Rohart and A. Thiaville, Phys. Rev. B 88, 184422 (2013)",
        exchange_J_per_m=16e-12,
        interfacial_dmi_J_per_m2=3.0e-3,
        anisotropy_J_per_m3=510e3,
        magnetisation_A_per_m=1.1e6,
        thickness_m=0.6e-9,
        cell_m=1.0e-9,
        damping=0.3,
    ),
}
"""By name. ``damping`` is not of the papers, which treat films at rest: give it with --damping."""
PAPER = "paper"
"""The name of the default film, arXiv:1907.01814's."""


def film_named(name: str) -> FilmParameters:
    """The film of that name. Raises ValueError for one that is not there."""
    if name == PAPER:
        return FilmParameters()
    if name not in FILMS:
        raise ValueError(f"film {name!r}: choose one of {', '.join((PAPER, *FILMS))}")
    return FILMS[name].parameters
