"""What a pulse that is no single Gaussian field does to a film, at any time."""

import numpy as np

from skyctl.pulse import Pulse


class PulseDrive:
    """The field and the spin current of a pulse, and of a second one, as ``span.Drive`` has them.

    A current's damping-like torque is a field S × P with P along the pulse's direction, as long as
    its amplitude_T; its field-like one is a plain field along P.
    """

    def __init__(self, pulse: Pulse) -> None:
        self._pulses = [pulse, *([pulse.second] if pulse.second else [])]
        self.has_current = any(each.current for each in self._pulses)

    def fields_T(self, times_ps: np.ndarray) -> np.ndarray:
        """(n, 6) at movie times (n,): field, and polarisation of the damping-like torque, T."""
        fields = np.zeros((len(times_ps), 6))
        for pulse in self._pulses:
            now = np.outer(pulse.at(times_ps), pulse.peak_field_T)
            if pulse.current is None:
                fields[:, :3] += now
            else:
                fields[:, :3] += pulse.current.field_like * now
                fields[:, 3:] += now
        return fields

    @property
    def strongest_T(self) -> float:
        """No field of it is stronger at any time."""
        return sum(
            each.amplitude_T * (1 + abs(each.current.field_like) if each.current else 1)
            for each in self._pulses
        )

    @property
    def shortest_ps(self) -> float:
        """What a step in time must not leap over."""
        return min(
            each.waveform.shortest_ps(each.width_ps) if each.waveform else each.width_ps
            for each in self._pulses
        )


def drive_of(pulse: Pulse | None) -> PulseDrive | None:
    """What a film is driven by; None where a Gaussian field, or nothing, drives it."""
    if pulse is None or not (pulse.waveform or pulse.current or pulse.second):
        return None
    return PulseDrive(pulse)
