"""LLG kernels for CUDA: films of one size in one array, one thread a site, nothing in between.

A film lies as on the CPU (``layout``): its empty sites are an open boundary without a branch and
make every row begin on a full memory sector. A step is two passes: the predictor reads S and writes
P, the corrector reads S and P and writes S in place, because it takes neighbours from P alone.
Noise is drawn again in the corrector: 24 bytes a site-step (single precision) to keep it would cost
more than the arithmetic on all but the fastest memories.

How the passes are launched depends on the films (``CudaEngine``):

- one block a film, which meets itself between the passes: one launch moves all films by hundreds of
  steps, and what a block works on tends to stay in the caches;
- a few films too large for that: every pass a launch over the whole device.

Both call the same passes. Kernels are made for what a run has (integrator, precision, boundary,
spot, map, noise), when it first needs them: what it lacks costs neither time nor memory. Nothing in
a float32 kernel is wider than its arrays, bar the pulse's envelope, computed once a film and step.
"""

import math
import operator
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any
from weakref import ref

import numpy as np
from numba import cuda
from numba.cuda.core import config
from numba.cuda.core.errors import NumbaPerformanceWarning

from skyctl.errors import DeviceMissing
from skyctl.simulators.lattice.engines import CORRECTOR_AT, Span
from skyctl.simulators.lattice.layout import GHOST_ROWS, Layout
from skyctl.simulators.physics import llg, random
from skyctl.simulators.physics.random import u32

PASS_VALUES = {"heun": 15, "midpoint": 15, "depondt": 21}
"""Numbers that the two passes of a step read and write a site, neighbours counted once."""
BLOCK_A_FILM_SITES = 1 << 15
"""Films up to this size are moved by one block each."""
BLOCK_A_FILM_FILMS = 128
"""From this many films on, one block each occupies most devices."""

# Threads of a film's block. In single precision one film takes a multiprocessor for itself, so that
# the films at work stay in most devices' second cache; 64 or 128 registers are left to a thread.
_FILM_BLOCK = {"f4": 1024, "f8": 512}
_REGISTERS = 65536
_PASS_BLOCK = 256
_WARP = 32
_LAUNCH_STEPS = 256
# A fraction of a second, as a rule: drivers end long launches on a device that shows a desktop.
_LAUNCH_SITE_STEPS = 2_000_000_000
_LOW_WORD = 0xFFFFFFFF
_WORD_BITS = 32

_device = cuda.jit(device=True)
_field = _device(llg.interaction_field)
_turning = _device(llg.turning)
_turned = _device(llg.turned)
_unit = _device(llg.unit_spin)
_cayley = _device(llg.cayley)
_full_turn = _device(llg.full_turn)
_envelope = _device(llg.pulse_envelope)
_threefry = random.compile_threefry(_device)

_normal_pair = random.compile_normal_pair(_device, math.log)
_u64 = np.uint64


@_device
def normals(site, step, key):
    """The noise of a site in a step: three numbers, ``kernels_cpu.draw_noise``'s to rounding."""
    low, high = u32(step & _LOW_WORD), u32(step >> _WORD_BITS)
    a, b, c, d = _threefry(u32(site), low, high, u32(0), key[0], key[1], key[2], key[3])
    x, y = _normal_pair(a, b)
    z, _ = _normal_pair(c, d)
    return x, y, z


@cuda.jit
def pulse_fields(fields, pulses, start_ps, step_ps, corrector_ps):
    """Fill ``fields`` (films, steps, 2, 3) with the pulses' B' in the two passes of each step.

    pulses : (films, 5) float64 [B'_x, B'_y, B'_z at the peak, peak time (ps), Gaussian width (ps)]
    corrector_ps : when in a step the second pass takes the field
    """
    films, steps = fields.shape[0], fields.shape[1]
    k = cuda.grid(1)
    if k < films * steps:
        film, step = k // steps, k % steps
        pulse, time_ps = pulses[film], start_ps + step * step_ps
        first = _envelope(time_ps, pulse[3], pulse[4])
        second = _envelope(time_ps + corrector_ps, pulse[3], pulse[4])
        for axis in range(3):
            fields[film, step, 0, axis] = first * pulse[axis]
            fields[film, step, 1, axis] = second * pulse[axis]


def _heun(number: Callable[[float], Any], tiny: float) -> tuple[Any, Any]:
    one, tiny = number(1), number(tiny)

    @_device
    def predict(i, s, p, ax, ay, az):
        """P = S - S×A(S): Euler's step, left at its own length."""
        x, y, z = s[0, i], s[1, i], s[2, i]
        rx, ry, rz = _turned(x, y, z, ax, ay, az)
        p[0, i], p[1, i], p[2, i] = x + rx, y + ry, z + rz

    @_device
    def correct(i, s, p, ax, ay, az):
        """S' = unit(S + P - P×A(P)): the trapezoidal half of Heun's step."""
        x, y, z = p[0, i], p[1, i], p[2, i]
        rx, ry, rz = _turned(x, y, z, ax, ay, az)
        x, y, z = s[0, i] + x + rx, s[1, i] + y + ry, s[2, i] + z + rz
        s[0, i], s[1, i], s[2, i] = _unit(x, y, z, one, tiny)

    return predict, correct


def _midpoint(number: Callable[[float], Any], tiny: float) -> tuple[Any, Any]:
    half, one, tiny = number(0.5), number(1), number(tiny)

    @_device
    def predict(i, s, p, ax, ay, az):
        """P = (S + S̃)/2 with S̃ - S = -(S + S̃)/2 × A(S): where the corrector takes its field."""
        x, y, z = s[0, i], s[1, i], s[2, i]
        qx, qy, qz = _cayley(x, y, z, ax, ay, az, half, one)
        p[0, i], p[1, i], p[2, i] = half * (x + qx), half * (y + qy), half * (z + qz)

    @_device
    def correct(i, s, p, ax, ay, az):
        """S' - S = -(S + S')/2 × A(P): Mentink's semi-implicit step, which keeps |S|."""
        x, y, z = _cayley(s[0, i], s[1, i], s[2, i], ax, ay, az, half, one)
        s[0, i], s[1, i], s[2, i] = _unit(x, y, z, one, tiny)

    return predict, correct


def _depondt(number: Callable[[float], Any], tiny: float) -> tuple[Any, Any]:
    half, one, tiny = number(0.5), number(1), number(tiny)
    pade = tuple(number(t) for t in llg.TAN_PADE)

    @_device
    def predict(i, s, p, ax, ay, az):
        """P = S turned by A(S); A(S) is kept in the rows of P behind it."""
        p[3, i], p[4, i], p[5, i] = ax, ay, az
        ax, ay, az = _full_turn(ax, ay, az, half, pade)
        p[0, i], p[1, i], p[2, i] = _cayley(s[0, i], s[1, i], s[2, i], ax, ay, az, half, one)

    @_device
    def correct(i, s, p, ax, ay, az):
        """S' = S turned by (A(S) + A(P))/2."""
        ax, ay, az = half * (p[3, i] + ax), half * (p[4, i] + ay), half * (p[5, i] + az)
        ax, ay, az = _full_turn(ax, ay, az, half, pade)
        x, y, z = _cayley(s[0, i], s[1, i], s[2, i], ax, ay, az, half, one)
        s[0, i], s[1, i], s[2, i] = _unit(x, y, z, one, tiny)

    return predict, correct


_INTEGRATORS = {"heun": _heun, "midpoint": _midpoint, "depondt": _depondt}


@cache
def make_kernels(
    integrator: str, precision: str, periodic: bool, spotted: bool, mapped: bool, noisy: bool
) -> tuple[Any, Any, Any]:
    """The kernels (march, predict, correct) of one kind of run. All take

    spins : (films, 3, size); predicted : (films, 3 or 6, size)
    rows, columns, width : of the ``Layout``
    spots, maps : (films or 1, size), the pulse's strength and the anisotropy of each site in units
        of the film's; (1, 1) where there are none
    constants : (films, 17) ``Coefficients.packed`` and the static B'
    fields : (films, steps, 2, 3) from ``pulse_fields``
    keys : (films, 4) uint32 of the noise; lags : (films,) int64, each film's lead over ``clock``
    clock : number of the step ``fields`` begins with

    ``march`` the number of steps, ``predict`` and ``correct`` the step among them.
    """
    number = np.dtype(precision).type
    tiny = 1e-30  # the square of a length that no spin has

    @_device
    def neighbours(i, rows, columns, width):
        left, right, down, up = i - _u64(1), i + _u64(1), i - width, i + width
        if periodic:
            row = u32(u32(i) // u32(width))
            column = u32(u32(i) - u32(row * u32(width)))
            if column == u32(1):
                left += columns
            if column == u32(columns):
                right -= columns
            if row == u32(GHOST_ROWS):
                down += rows * width
            if row == u32(rows) + u32(GHOST_ROWS - 1):
                up -= rows * width
        return left, right, down, up

    @_device
    def turning_at(i, shape, s, spot, sites, k, g, key, step):
        """A of site ``i`` among the spins ``s``."""
        exchange, dmi, anisotropy, damping, thermal, bx0, by0, bz0 = k
        gx, gy, gz = g
        left, right, down, up = neighbours(i, shape[0], shape[1], shape[2])
        if mapped:
            anisotropy = anisotropy * sites[i]
        x, y, z = s[0, i], s[1, i], s[2, i]
        bx, by, bz = _field(
            s[0, left], s[1, left], s[2, left], s[0, right], s[1, right], s[2, right],
            s[0, down], s[1, down], s[2, down], s[0, up], s[1, up], s[2, up], z,
            exchange, dmi, anisotropy,
        )  # fmt: skip
        if spotted:
            near = spot[i]
            gx, gy, gz = gx * near, gy * near, gz * near
        bx, by, bz = bx + (bx0 + gx), by + (by0 + gy), bz + (bz0 + gz)
        if noisy:
            nx, ny, nz = normals(i, step, key)
            bx, by, bz = bx + thermal * nx, by + thermal * ny, bz + thermal * nz
        return _turning(x, y, z, bx, by, bz, damping)

    @_device
    def constants_of(film, constants):
        """What the passes read but never change, as scalars: an array might be written by them."""
        c = constants[film]
        return c[0], c[1], c[2], c[3], c[4], c[-3], c[-2], c[-1]

    def half_step(half: int, move: Any) -> Any:
        """All sites of a film moved by the field of S (half 0) or of P (half 1)."""

        @_device
        def move_sites(film, first, stride, s, p, shape, spots, maps, k, fields, keys, step, clock):
            g = (
                fields[film, step, half, 0],
                fields[film, step, half, 1],
                fields[film, step, half, 2],
            )
            spot, sites = spots[min(film, len(spots) - 1)], maps[min(film, len(maps) - 1)]
            among = p if half else s
            origin = _u64(GHOST_ROWS) * shape[2]
            end = origin + shape[0] * shape[2]
            for i in range(origin + first, end, stride):
                ax, ay, az = turning_at(
                    i, shape, among, spot, sites, k, g, keys[film], clock + step
                )
                move(i, s, p, ax, ay, az)

        return move_sites

    halves = _INTEGRATORS[integrator](number, tiny)
    predict_sites, correct_sites = half_step(0, halves[0]), half_step(1, halves[1])

    options = (
        {} if config.ENABLE_CUDASIM else {"max_registers": _REGISTERS // _FILM_BLOCK[precision]}
    )

    @cuda.jit(**options)
    def march(
        spins, predicted, rows, columns, width, spots, maps, constants, fields, keys, lags, clock,
        steps,
    ):  # fmt: skip
        """One block a film, ``steps`` steps."""
        film = cuda.blockIdx.x
        first, stride = _u64(cuda.threadIdx.x), _u64(cuda.blockDim.x)
        s, p, shape = spins[film], predicted[film], (_u64(rows), _u64(columns), _u64(width))
        k, now = constants_of(film, constants), clock + lags[film]
        for step in range(steps):
            predict_sites(film, first, stride, s, p, shape, spots, maps, k, fields, keys, step, now)
            cuda.syncthreads()
            correct_sites(film, first, stride, s, p, shape, spots, maps, k, fields, keys, step, now)
            cuda.syncthreads()

    def pass_of_all(move_sites: Any) -> Any:
        @cuda.jit
        def one_pass(
            spins, predicted, rows, columns, width, spots, maps, constants, fields, keys, lags,
            clock, step,
        ):  # fmt: skip
            """Half a step of every film: a grid of (blocks, films)."""
            film = cuda.blockIdx.y
            first, stride = _u64(cuda.grid(2)[0]), _u64(cuda.gridsize(2)[0])
            s, p, shape = spins[film], predicted[film], (_u64(rows), _u64(columns), _u64(width))
            k, now = constants_of(film, constants), clock + lags[film]
            move_sites(film, first, stride, s, p, shape, spots, maps, k, fields, keys, step, now)

        return one_pass

    return march, pass_of_all(predict_sites), pass_of_all(correct_sites)


def require_device() -> None:
    """Raise DeviceMissing where numba finds no CUDA GPU, or no CUDA libraries for it."""
    if not cuda.is_available():
        raise DeviceMissing(
            "device cuda: numba finds no CUDA GPU, or not the CUDA libraries it needs. Use "
            "device='cpu', or install skyctl with its extra 'gpu' on a machine with an "
            "NVIDIA GPU."
        )


def launcher(kernel: Any, grid: Any, block: Any, stream: Any = 0) -> Any:
    """The kernel, to be called with its arguments. That one film is a small grid is no news."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NumbaPerformanceWarning)
        return kernel[grid, block, stream]


class PendingFrame:
    """Spins on their way from the device, as they were when ``CudaEngine.copy_async`` was called.

    ``wait()`` returns them, (films, 3, rows, columns), as soon as they are here; the array is the
    caller's own.
    """

    def __init__(self, arrived: Any, pinned: np.ndarray, layout: Layout) -> None:
        self._arrived, self._pinned, self._layout = arrived, pinned, layout
        self._spins: np.ndarray | None = None

    def wait(self) -> np.ndarray:
        if self._spins is None:
            self._arrived.synchronize()
            self._spins = self._layout.inner(self._pinned).copy()
        return self._spins


class CudaEngine:
    """Films of one size on the current CUDA device, each with its own pulse, couplings and noise.

    layout : Layout of every film; films : how many, 1 or more
    periodic, precision, integrator : as in ``make_engine``

    Only ``read``, ``write`` and ``PendingFrame.wait`` wait for the device. A movie is, frame by
    frame, ``engine.advance(spans)``, ``pending.wait()`` of the frame before, while the device
    works, and ``pending = engine.copy_async()``.

    A movie's spans differ in time alone, which is an argument of the kernels; everything else
    is sent when it has changed. Arrays of a span that are read-only are taken to be the same
    when they are the same object; writable ones are sent every time.

    Raises DeviceMissing where numba finds no CUDA GPU, or no CUDA libraries for it; ValueError for
    less than one film; MemoryError, which says how many films fit, for too many.
    """

    def __init__(
        self, layout: Layout, films: int, periodic: bool, precision: str, integrator: str
    ) -> None:
        if films < 1:
            raise ValueError(f"films = {films}: must be 1 or more")
        require_device()
        self._layout, self._films, self._periodic = layout, films, periodic
        self._precision, self._integrator = precision, integrator
        self._dtype = np.dtype(precision)
        rows_of_p = 6 if integrator == "depondt" else 3
        self._require_memory((3 + rows_of_p + 3) * layout.size * self._dtype.itemsize)
        self._stream, self._copies = cuda.stream(), cuda.stream()
        self._spins = cuda.to_device(np.zeros((films, 3, layout.size), self._dtype))
        self._predicted = cuda.to_device(np.zeros((films, rows_of_p, layout.size), self._dtype))
        self._frame = cuda.device_array((films, 3, layout.size), self._dtype)
        self._frame_left = cuda.event()
        self._pinned: list[np.ndarray] = []
        self._pending: dict[int, ref[PendingFrame]] = {}
        self._taken = 0
        self._runs: list[Any] = []
        self._sent: dict[str, tuple[np.ndarray, Any]] = {}
        self._profiles_sent: dict[str, tuple[list[np.ndarray | None], Any]] = {}

        sites = layout.rows * layout.width
        self._block_a_film = sites <= BLOCK_A_FILM_SITES or films >= BLOCK_A_FILM_FILMS
        self._launch_steps = max(1, min(_LAUNCH_STEPS, _LAUNCH_SITE_STEPS // (films * sites)))
        self._fields = cuda.device_array((films, self._launch_steps, 2, 3), self._dtype)

    def _require_memory(self, bytes_a_film: int) -> None:
        layout, context = self._layout, cuda.current_context()
        free = context.get_memory_info().free
        if self._films * bytes_a_film > free:
            # numba gives back late what engines before this one had.
            context.memory_manager.deallocations.clear()
            free = context.get_memory_info().free
        if self._films * bytes_a_film > free:
            raise MemoryError(
                f"device cuda: {self._films} films of {layout.rows} x {layout.columns} sites in "
                f"{self._precision} need {self._films * bytes_a_film / 1e9:.3g} GB more, and "
                f"{free / 1e9:.3g} GB are free: {int(free // bytes_a_film)} fit. Move fewer at a "
                "time."
            )

    def read(self) -> np.ndarray:
        return self.copy_async().wait()

    def copy_async(self) -> PendingFrame:
        """Begin to copy the spins as they are now out of the device; do not wait for them.

        ``advance`` may follow at once: the device takes a copy for itself first. Two frames may be
        on their way; a third call waits for the first of them.
        """
        slot = self._taken % 2
        self._taken += 1
        if slot == len(self._pinned):
            shape = (self._films, 3, self._layout.size)
            self._pinned.append(cuda.pinned_array(shape, self._dtype))
        elif (earlier := self._pending[slot]()) is not None:
            earlier.wait()
        pinned = self._pinned[slot]
        self._frame_left.wait(self._stream)
        self._frame.copy_to_device(self._spins, self._stream)
        taken, arrived = cuda.event(), cuda.event()
        taken.record(self._stream)
        taken.wait(self._copies)
        self._frame.copy_to_host(pinned, self._copies)
        self._frame_left.record(self._copies)
        arrived.record(self._copies)
        pending = PendingFrame(arrived, pinned, self._layout)
        self._pending[slot] = ref(pending)  # who lets go of a frame does not want it
        return pending

    def write(self, spins: np.ndarray) -> None:
        self._spins.copy_to_device(self._layout.flat(spins, self._dtype), self._stream)
        self._stream.synchronize()

    def advance(self, spans: Sequence[Span]) -> None:
        """Start to move each film through its span; return before they have moved.

        Raises ValueError unless there is one span a film, and start_ps, step_ps and steps are
        the same in all.
        """
        if len(spans) != self._films:
            raise ValueError(f"{len(spans)} spans for {self._films} films: give one for each")
        head = spans[0]
        clock = (head.start_ps, head.step_ps, head.steps)
        for film, span in enumerate(spans):
            own = (span.start_ps, span.step_ps, span.steps)
            if own != clock:
                raise ValueError(
                    f"film {film} starts at {own[0]:g} ps with {own[2]} steps of {own[1]:g} ps, "
                    f"film 0 at {clock[0]:g} ps with {clock[2]} of {clock[1]:g} ps: films that "
                    "move together share their clock"
                )
        noisy = any(s.coefficients.thermal_T2ps for s in spans)
        spotted, spots = self._profiles("spots", [s.spot for s in spans])
        mapped, maps = self._profiles("maps", [s.anisotropy_map for s in spans])
        march, predict, correct = make_kernels(
            self._integrator, self._precision, self._periodic, spotted, mapped, noisy
        )
        constants, pulses = self._numbers(spans)
        keys = self._send("keys", np.array([s.noise_key for s in spans]))
        first_steps = np.array([s.first_step for s in spans], np.int64)
        lags = self._send("lags", first_steps - first_steps[0])

        layout = self._layout
        fields_blocks = -(-self._films * self._launch_steps // _PASS_BLOCK)
        sites = layout.rows * layout.width
        whole_warps = -(-sites // _WARP) * _WARP
        for first in range(0, head.steps, self._launch_steps):
            steps = min(self._launch_steps, head.steps - first)
            self._launch(pulse_fields, fields_blocks, _PASS_BLOCK)(
                self._fields, pulses, head.start_ps + first * head.step_ps, head.step_ps,
                CORRECTOR_AT[self._integrator] * head.step_ps,
            )  # fmt: skip
            arguments = (
                self._spins, self._predicted, layout.rows, layout.columns, layout.width, spots,
                maps, constants, self._fields, keys, lags, head.first_step + first,
            )  # fmt: skip
            if self._block_a_film:
                block = min(_FILM_BLOCK[self._precision], whole_warps)
                self._launch(march, self._films, block)(*arguments, steps)
                continue
            grid = (-(-sites // _PASS_BLOCK), self._films)
            first_pass = self._launch(predict, grid, _PASS_BLOCK)
            second_pass = self._launch(correct, grid, _PASS_BLOCK)
            for step in range(steps):
                first_pass(*arguments, step)
                second_pass(*arguments, step)

    def _launch(self, kernel: Any, grid: Any, block: int) -> Any:
        return launcher(kernel, grid, block, self._stream)

    def _numbers(self, spans: Sequence[Span]) -> tuple[Any, Any]:
        """On the device: ``constants`` of ``make_kernels`` and ``pulses`` of ``pulse_fields``."""
        runs = [
            (s.coefficients, s.step_ps, tuple(s.bias_T), tuple(s.peak_T), s.peak_ps, s.width_ps)
            for s in spans
        ]
        if runs != self._runs:
            constants, pulses = [], []
            for coefficients, step_ps, bias_T, peak_T, peak_ps, width_ps in runs:
                turn = coefficients.rate * step_ps
                packed = coefficients.packed(step_ps, np.float64)
                constants.append([*packed, *np.multiply(turn, bias_T)])
                pulses.append([*np.multiply(turn, peak_T), peak_ps, width_ps])
            self._send("constants", np.array(constants, self._dtype))
            self._send("pulses", np.array(pulses))
            self._runs = runs
        return self._sent["constants"][1], self._sent["pulses"][1]

    def _send(self, name: str, values: np.ndarray) -> Any:
        """``values`` on the device, sent if they are not there already."""
        if name not in self._sent or not np.array_equal(self._sent[name][0], values):
            self._sent[name] = values, cuda.to_device(values, self._stream)
        return self._sent[name][1]

    def _profiles(self, name: str, profiles: list[np.ndarray | None]) -> tuple[bool, Any]:
        """Whether any film has one, and on the device those of all, or the one that they share."""
        if all(profile is None for profile in profiles):
            return False, self._send(name, np.zeros((1, 1), self._dtype))
        given, _ = self._profiles_sent.get(name, ([], None))
        same = len(given) == len(profiles) and all(map(operator.is_, given, profiles))
        if not same or any(p is not None and p.flags.writeable for p in profiles):
            shared = all(profile is profiles[0] for profile in profiles)
            layout = self._layout
            if not shared:
                self._require_memory(layout.size * self._dtype.itemsize)
            everywhere = np.ones((layout.rows, layout.columns))
            rows = profiles[:1] if shared else profiles
            host = np.stack([everywhere if row is None else row for row in rows])
            sent = cuda.to_device(layout.flat(host, self._dtype), self._stream)
            self._profiles_sent[name] = profiles, sent
        return True, self._profiles_sent[name][1]
