"""Films on a CUDA device: what is sent there and when, and how the passes are launched.

- One block a film, which meets itself between the passes: one launch moves all films by hundreds of
  steps, and what a block works on tends to stay in the caches;
- for a few films too large for that: every pass a launch over the whole device.
"""

import operator
from collections.abc import Sequence
from typing import Any
from weakref import ref

import numpy as np
from numba import cuda

from skyctl.simulators.lattice.kernels_cuda import FILM_BLOCK, make_kernels, pulse_fields
from skyctl.simulators.lattice.layout import Layout
from skyctl.simulators.physics.cuda import launcher, require_device
from skyctl.simulators.physics.schemes import Scheme
from skyctl.simulators.physics.span import Span

BLOCK_A_FILM_SITES = 1 << 15
"""Films up to this size are moved by one block each."""
BLOCK_A_FILM_FILMS = 128
"""From this many films on, one block each occupies most devices."""

_PASS_BLOCK = 256
_WARP = 32
_LAUNCH_STEPS = 256
# A fraction of a second, as a rule: drivers end long launches on a device that shows a desktop.
_LAUNCH_SITE_STEPS = 2_000_000_000


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
    periodic, precision : as in ``make_engine``; scheme : the integrator

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
        self, layout: Layout, films: int, periodic: bool, precision: str, scheme: Scheme
    ) -> None:
        if films < 1:
            raise ValueError(f"films = {films}: must be 1 or more")
        require_device()
        self._layout, self._films, self._periodic = layout, films, periodic
        self._precision, self._scheme = precision, scheme
        self._dtype: Any = np.dtype(precision)  # numba's stubs know float64 alone
        rows_of_p = 6 if scheme.keeps_turn else 3
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
        self._fields = cuda.device_array((films, self._launch_steps, 2, 6), self._dtype)

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
        self._check_clocks(spans)
        head, layout = spans[0], self._layout
        noisy = any(s.coefficients.thermal_T2ps for s in spans)
        spotted, spots = self._profiles("spots", [s.spot for s in spans])
        mapped, maps = self._profiles("maps", [s.anisotropy_map for s in spans])
        interfacial, tilted, current = map(any, zip(*(s.terms for s in spans), strict=True))
        kernels = make_kernels(
            self._scheme, self._precision, self._periodic, spotted, mapped, noisy,
            (interfacial, tilted, current),
        )  # fmt: skip
        constants, pulses = self._numbers(spans)
        keys = self._send("keys", np.array([s.noise_key for s in spans]))
        first_steps = np.array([s.first_step for s in spans], np.int64)
        lags = self._send("lags", first_steps - first_steps[0])
        tables = {
            film: np.ascontiguousarray(table, self._dtype)
            for film, span in enumerate(spans)
            if (table := span.table(self._scheme.corrector_at)) is not None
        }
        fields_blocks = -(-self._films * self._launch_steps // _PASS_BLOCK)
        for first in range(0, head.steps, self._launch_steps):
            self._launch(pulse_fields, fields_blocks, _PASS_BLOCK)(
                self._fields, pulses, head.start_ps + first * head.step_ps, head.step_ps,
                self._scheme.corrector_at * head.step_ps,
            )  # fmt: skip
            for film, table in tables.items():
                rows = table[first : first + self._launch_steps]
                self._fields[film, : len(rows)].copy_to_device(rows, self._stream)
            self._march(
                kernels, min(self._launch_steps, head.steps - first),
                self._spins, self._predicted, layout.rows, layout.columns, layout.width, spots,
                maps, constants, self._fields, keys, lags, head.first_step + first,
            )  # fmt: skip

    def _check_clocks(self, spans: Sequence[Span]) -> None:
        if len(spans) != self._films:
            raise ValueError(f"{len(spans)} spans for {self._films} films: give one for each")
        clock, *others = [(span.start_ps, span.step_ps, span.steps) for span in spans]
        for film, own in enumerate(others, 1):
            if own != clock:
                raise ValueError(
                    f"film {film} starts at {own[0]:g} ps with {own[2]} steps of {own[1]:g} ps, "
                    f"film 0 at {clock[0]:g} ps with {clock[2]} of {clock[1]:g} ps: films that "
                    "move together share their clock"
                )

    def _march(self, kernels: tuple[Any, Any, Any], steps: int, *arguments: Any) -> None:
        """``steps`` steps of all films, with ``arguments`` as ``make_kernels`` has them."""
        march, predict, correct = kernels
        sites = self._layout.rows * self._layout.width
        if self._block_a_film:
            block = min(FILM_BLOCK[self._precision], -(-sites // _WARP) * _WARP)
            self._launch(march, self._films, block)(*arguments, steps)
            return
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
