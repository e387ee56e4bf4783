"""The physics of one spin, once: every function here is compiled for the CPU and for CUDA.

Plain scalars in, plain scalars out, no arrays and no number literals, so that a float32 run
stays float32. A field arrives as B' = γ dt/(1+α²) B, the angle in radians by which a spin turns in
one step, so that no function needs γ or dt. The equation of motion is then one rotation,

    dS/dt = -γ/(1+α²) (S×B + α S×(S×B))  ⇒  ΔS = -S×A,  A = B' + α S×B',

and the integrators differ in where they take A and how they turn by it.

The film is E = -Σ_bonds J S_i·S_j - Σ_bonds D r̂_ij·(S_i×S_j) - Σ_i K_i (S_i^z)² - μ Σ_i B·S_i
(arXiv:1907.01814 eq. 1, with each bond counted once), and B_i = -(1/μ) ∂E/∂S_i. A film may have
-Σ_bonds D' (r̂_ij×ẑ)·(S_i×S_j) as well, the DMI of an interface, and its easy axis along any n̂:
-Σ_i K_i (S_i·n̂)². Such a film turns by 90° about z into one of bulk DMI, and back.
"""

from math import exp, sqrt

GAMMA_RAD_PER_PS_T = 0.1760859
"""Gyromagnetic ratio of the electron, rad/(ps·T)."""
MU_B_MEV_PER_T = 0.057883818060
"""Bohr magneton, meV/T."""
K_B_MEV_PER_K = 0.08617333262
"""Boltzmann constant, meV/K."""
MEV_PER_MRY = 13.605693
"""One millirydberg in meV."""
TINY = 1e-30
"""The square of a length that no spin has: added, it keeps an empty site from dividing by 0."""


def interaction_field(
    lx, ly, lz, rx, ry, rz, dx, dy, dz, ux, uy, uz, sz, exchange, dmi, anisotropy
):
    """Exchange, bulk-DMI and uniaxial anisotropy field at a site, in the unit of the couplings.

    ``l, r, d, u`` are the neighbours at -x, +x, -y, +y (zero where there is none) and ``sz`` the
    site's own S_z. The couplings are J/μ, D/μ and 2K/μ. The DMI field is (D/μ) Σ_j S_j × r̂_ij.
    """
    bx = exchange * (lx + rx + dx + ux) + dmi * (dz - uz)
    by = exchange * (ly + ry + dy + uy) + dmi * (rz - lz)
    bz = exchange * (lz + rz + dz + uz) + dmi * ((ly - ry) + (ux - dx)) + anisotropy * sz
    return bx, by, bz


def interfacial_dmi_field(lx, lz, rx, rz, dy, dz, uy, uz, dmi):
    """DMI field of an interface at a site, (D'/μ) Σ_j S_j × (r̂_ij × ẑ), in the unit of D'/μ.

    ``l, r, d, u`` as in ``interaction_field``. It makes Néel walls and skyrmions.
    """
    return dmi * (rz - lz), dmi * (uz - dz), dmi * ((lx - rx) + (dy - uy))


def axis_field(sx, sy, sz, nx, ny, nz, anisotropy):
    """Uniaxial anisotropy field along n̂, (2K/μ) (S·n̂) n̂; ``anisotropy`` is 2K/μ."""
    along = anisotropy * (sx * nx + sy * ny + sz * nz)
    return along * nx, along * ny, along * nz


def damping_like_field(sx, sy, sz, px, py, pz):
    """S × P: the field that makes the damping-like torque of a spin current polarised along P.

    |P| is the torque's strength as a field (J. C. Slonczewski, J. Magn. Magn. Mater. 159, L1
    (1996)); a field-like torque is a plain field along P.
    """
    return sy * pz - sz * py, sz * px - sx * pz, sx * py - sy * px


def turning(sx, sy, sz, bx, by, bz, damping):
    """A = B' + α S×B': the spin turns by -S×A (arXiv:1907.01814 eq. 2)."""
    cx = sy * bz - sz * by
    cy = sz * bx - sx * bz
    cz = sx * by - sy * bx
    return bx + damping * cx, by + damping * cy, bz + damping * cz


def turned(sx, sy, sz, ax, ay, az):
    """-S×A, the change of a spin that turns by A."""
    return sz * ay - sy * az, sx * az - sz * ax, sy * ax - sx * ay


def unit_spin(sx, sy, sz, one, tiny):
    """S/|S|; an empty site (S = 0), of which an open boundary is made, stays exactly empty."""
    scale = one / sqrt(sx * sx + sy * sy + sz * sz + tiny)
    return sx * scale, sy * scale, sz * scale


def cayley(sx, sy, sz, ax, ay, az, half, one):
    """The S' that solves S' - S = -(S + S')/2 × A: a rotation, |S'| = |S| to rounding.

    The implicit midpoint rule in closed form (J. H. Mentink et al., J. Phys.: Condens. Matter 22,
    176001 (2010), eq. 16).
    """
    hx, hy, hz = half * ax, half * ay, half * az
    square = hx * hx + hy * hy + hz * hz
    dot = hx * sx + hy * sy + hz * sz
    scale, rest, twice = one / (one + square), one - square, dot + dot
    return (
        scale * (rest * sx + (sz * ay - sy * az) + twice * hx),
        scale * (rest * sy + (sx * az - sz * ax) + twice * hy),
        scale * (rest * sz + (sy * ax - sx * ay) + twice * hz),
    )


def full_turn(ax, ay, az, half, t):
    """A scaled by tan(θ/2)/(θ/2), θ = |A|, with which ``cayley`` turns by exactly θ about A.

    ``t`` holds the Padé coefficients of tan(x)/x in x² (numerator 1, -t1, t2, -1; denominator
    1, -t3, t4, -t5, over a common t0): 1e-16 at x = 0.25, 1e-11 at x = 0.6. This is the rotation of
    Depondt's integrator (Ph. Depondt and F. G. Mertens, J. Phys.: Condens. Matter 21, 336005
    (2009)).
    """
    x, y, z = half * ax, half * ay, half * az
    q = x * x + y * y + z * z
    scale = (t[0] + q * (-t[1] + q * (t[2] - q))) / (t[0] + q * (-t[3] + q * (t[4] - q * t[5])))
    return scale * ax, scale * ay, scale * az


TAN_PADE = (135135.0, 17325.0, 378.0, 62370.0, 3150.0, 28.0)
"""Coefficients of ``full_turn``: tan(x)/x to [6/6] in x, all exact in single precision."""


def pulse_envelope(time_ps, peak_ps, width_ps):
    """Gaussian of unit height, ``width_ps`` its standard deviation (arXiv:1907.01814 eq. 3)."""
    x = (time_ps - peak_ps) / width_ps
    return exp(-0.5 * x * x)
