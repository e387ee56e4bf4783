"""The physics of one spin, once: every function here is compiled for the CPU and for CUDA.

Plain scalars in, plain scalars out, no arrays and no float literals, so that a float32 run
stays float32. All fields are in tesla, times in picoseconds, rates in rad/ps.

The film is E = -Σ_bonds J S_i·S_j - Σ_bonds D r̂_ij·(S_i×S_j) - Σ_i K (S_i^z)² - μ Σ_i B·S_i
(arXiv:1907.01814 eq. 1, with each bond counted once), and B_i = -(1/μ) ∂E/∂S_i.
"""

from math import exp, sqrt

GAMMA_RAD_PER_PS_T = 0.1760859
"""Gyromagnetic ratio of the electron, rad/(ps·T)."""
MU_B_MEV_PER_T = 0.057883818060
"""Bohr magneton, meV/T."""
MEV_PER_MRY = 13.605693
"""One millirydberg in meV."""


def interaction_field(
    lx, ly, lz, rx, ry, rz, dx, dy, dz, ux, uy, uz, sz, exchange_T, dmi_T, anisotropy_T
):
    """Exchange, bulk-DMI and uniaxial anisotropy field at a site, in tesla.

    ``l, r, d, u`` are the neighbours at -x, +x, -y, +y (zero where there is none) and ``sz`` the
    site's own S_z. ``exchange_T`` = J/μ, ``dmi_T`` = D/μ, ``anisotropy_T`` = 2K/μ. The DMI field
    is (D/μ) Σ_j S_j × r̂_ij.
    """
    bx = exchange_T * (lx + rx + dx + ux) + dmi_T * (dz - uz)
    by = exchange_T * (ly + ry + dy + uy) + dmi_T * (rz - lz)
    bz = exchange_T * (lz + rz + dz + uz) + dmi_T * ((ly - ry) + (ux - dx)) + anisotropy_T * sz
    return bx, by, bz


def spin_rate(sx, sy, sz, bx, by, bz, precession, damping):
    """dS/dt of the Landau–Lifshitz–Gilbert equation, 1/ps (arXiv:1907.01814 eq. 2).

    ``precession`` = γ/(1+α²) and ``damping`` = γα/(1+α²), both in rad/(ps·T).
    """
    cx = sy * bz - sz * by
    cy = sz * bx - sx * bz
    cz = sx * by - sy * bx
    rx = -precession * cx - damping * (sy * cz - sz * cy)
    ry = -precession * cy - damping * (sz * cx - sx * cz)
    rz = -precession * cz - damping * (sx * cy - sy * cx)
    return rx, ry, rz


def unit_spin(sx, sy, sz, one, tiny):
    """S/|S|; an empty site (S = 0), of which an open boundary is made, stays exactly empty."""
    scale = one / sqrt(sx * sx + sy * sy + sz * sz + tiny)
    return sx * scale, sy * scale, sz * scale


def pulse_envelope(time_ps, peak_ps, width_ps):
    """Gaussian of unit height, ``width_ps`` its standard deviation (arXiv:1907.01814 eq. 3)."""
    x = (time_ps - peak_ps) / width_ps
    return exp(-0.5 * x * x)
