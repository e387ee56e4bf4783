"""The integrators of two passes a step: how a spin turns by A (``llg``), and when A is taken.

A step of a film is a predictor P for all its spins, by A(S), and a corrector, by A(P). A scheme
says what the two make of one spin, in plain scalars as in ``llg``, compiled for each processor;
the loops over a film are the kernels' and the same for all. What the corrector returns is made a
unit vector there.

A new scheme is written here alone: its two functions, its ``Scheme`` in ``SCHEMES``, its name in
``SchemeName``. (What it is measured to do belongs into ``proof.table``.)
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from skyctl.simulators.physics import llg

SchemeName = Literal["heun", "midpoint", "depondt"]
Integrator = Literal[SchemeName, "rk4", "dormand-prince"]
"""All that moves a film: the schemes, and the methods of ``runge_kutta``."""
Compiler = Callable[[Callable[..., Any]], Any]
LONGEST_TURN = 1.6
"""By how much the fastest spin wave may turn in one step, rad; measured on a random film: up to 2
rad the energy of a damped film still falls."""
_PASS_VALUES, _KEPT_VALUES = 15, 6


@dataclass(frozen=True)
class Scheme:
    """An integrator of two passes a step.

    corrector_at : when in a step the corrector takes the field, in steps
    keeps_turn : whether the corrector wants A(S) as well
    functions : makes ``predict`` and ``correct`` for one target, whose compiler it gets. Both take
        half, one, pade last, in the precision of the run (``llg.full_turn``).
        predict(sx, sy, sz, ax, ay, az, …) : P, with A(S)
        correct(sx, sy, sz, px, py, pz, kx, ky, kz, ax, ay, az, …) : S' but for its length, with
        A(P), and A(S) in k if it is kept
    stable_turn(damping) : by how much the fastest spin wave may turn in a step, rad
    """

    name: SchemeName
    corrector_at: float
    functions: Callable[[Compiler], tuple[Any, Any]]
    keeps_turn: bool = False
    stable_turn: Callable[[float], float] = lambda damping: LONGEST_TURN

    @property
    def pass_values(self) -> int:
        """Numbers that a step reads and writes a site, neighbours counted once."""
        return _PASS_VALUES + self.keeps_turn * _KEPT_VALUES


def _heun(compiled: Compiler) -> tuple[Any, Any]:
    turned = compiled(llg.turned)

    @compiled
    def predict(sx, sy, sz, ax, ay, az, half, one, pade):
        """P = S - S×A(S): Euler's step, left at its own length."""
        rx, ry, rz = turned(sx, sy, sz, ax, ay, az)
        return sx + rx, sy + ry, sz + rz

    @compiled
    def correct(sx, sy, sz, px, py, pz, kx, ky, kz, ax, ay, az, half, one, pade):
        """S' = unit(S + P - P×A(P)): the trapezoidal half of Heun's step."""
        rx, ry, rz = turned(px, py, pz, ax, ay, az)
        return sx + px + rx, sy + py + ry, sz + pz + rz

    return predict, correct


def _heun_turn(damping: float) -> float:
    """Less: Heun amplifies a wave by 1 + turn⁴/8 a step, against 1 - α turn: hence (8α)^⅓, and,
    for a damping too weak for that, a turn at which it takes a thousand steps to see."""
    return min(LONGEST_TURN, max(0.25, 2 * damping ** (1 / 3)))


def _midpoint(compiled: Compiler) -> tuple[Any, Any]:
    cayley = compiled(llg.cayley)

    @compiled
    def predict(sx, sy, sz, ax, ay, az, half, one, pade):
        """P = (S + S̃)/2 with S̃ - S = -(S + S̃)/2 × A(S): where the corrector takes its field."""
        qx, qy, qz = cayley(sx, sy, sz, ax, ay, az, half, one)
        return half * (sx + qx), half * (sy + qy), half * (sz + qz)

    @compiled
    def correct(sx, sy, sz, px, py, pz, kx, ky, kz, ax, ay, az, half, one, pade):
        """S' - S = -(S + S')/2 × A(P): Mentink's semi-implicit step, which keeps |S|."""
        return cayley(sx, sy, sz, ax, ay, az, half, one)

    return predict, correct


def _depondt(compiled: Compiler) -> tuple[Any, Any]:
    cayley, full_turn = compiled(llg.cayley), compiled(llg.full_turn)

    @compiled
    def predict(sx, sy, sz, ax, ay, az, half, one, pade):
        """P = S turned by A(S)."""
        ax, ay, az = full_turn(ax, ay, az, half, pade)
        return cayley(sx, sy, sz, ax, ay, az, half, one)

    @compiled
    def correct(sx, sy, sz, px, py, pz, kx, ky, kz, ax, ay, az, half, one, pade):
        """S' = S turned by (A(S) + A(P))/2."""
        ax, ay, az = half * (kx + ax), half * (ky + ay), half * (kz + az)
        ax, ay, az = full_turn(ax, ay, az, half, pade)
        return cayley(sx, sy, sz, ax, ay, az, half, one)

    return predict, correct


HEUN = Scheme("heun", 1.0, _heun, stable_turn=_heun_turn)
MIDPOINT = Scheme("midpoint", 0.5, _midpoint)
DEPONDT = Scheme("depondt", 1.0, _depondt, keeps_turn=True)

SCHEMES: dict[str, Scheme] = {scheme.name: scheme for scheme in (HEUN, MIDPOINT, DEPONDT)}
"""All of them, by name."""
