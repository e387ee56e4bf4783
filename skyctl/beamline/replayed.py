"""A beamline around a recorded run: plans and agents run against it, offline."""

from pathlib import Path
from typing import Literal

from skyctl.beamline.beamline import Beamline, assemble
from skyctl.devices.guard import Envelope, Spent
from skyctl.devices.replayed import ReplayedSample
from skyctl.inference.model import MovieClassifier
from skyctl.recording.files import Storage
from skyctl.recording.playback import Pace, recorded_shots
from skyctl.recording.reader import Recording
from skyctl.stream.publisher import Publisher


def replayed_beamline(
    recording: Recording,
    folder: Path | str,
    *,
    pace: Pace = "max",
    diverging: Literal["refuse", "count"] = "refuse",
    model: MovieClassifier | None = None,
    envelope: Envelope | None = None,
    ledger: Path | None = None,
    spent: Spent | None = None,
    address: str = "tcp://127.0.0.1:*",
    storage: Storage | None = None,
) -> Beamline[ReplayedSample]:
    """Build a beamline around a recorded run; what it records goes to ``folder``.

    The camera asks for the movie of the first recorded pulse. See ReplayedSample for ``pace`` and
    ``diverging``, and `assemble` for the rest.

    Raises RecordingError (no shot), StreamError (port in use), ModelError (no such model) or
    PulseRefused (bad ledger).
    """
    model = model or MovieClassifier()
    shots = list(recorded_shots(recording))
    publisher = Publisher(address)
    sample = ReplayedSample(recording, publisher, pace=pace, diverging=diverging)
    beamline = assemble(
        sample,
        publisher,
        folder,
        model=model,
        envelope=envelope,
        ledger=ledger,
        spent=spent,
        storage=storage,
    )
    if starts := [shot.start for shot in shots if shot.start.pulse]:
        beamline.camera.film_like(starts[0].movie)
        beamline.camera.ends_early.put(int(starts[0].may_end_early))
    return beamline
