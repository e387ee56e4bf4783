"""Recount: S_z of a recording's frames, computed again from the raw counts beside it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from skyctl.errors import RecordingError
from skyctl.frame import Frame
from skyctl.recording.counts import RecordedCounts
from skyctl.recording.playback import RecordedShot
from skyctl.recording.reader import Recording
from skyctl.stream.sources.calibration import Calibration


class Recount:
    """Takes a recorded shot and gives it with S_z of another calibration; a context manager.

    calibration : a file that `calibrate_contrast` wrote, of the camera that the recording names;
        pixels are binned as they were

    Raises RecordingError: no counts were recorded, or the calibration is of another camera.
    """

    def __init__(self, recording: Recording, calibration: Path) -> None:
        header = recording.header
        stages = header.get("counts_to_sz", [])
        binned = [told["pixels"] for told in stages if told.get("stage") == "binning"]
        self._counts = RecordedCounts(recording.path)
        try:
            loaded = Calibration.load(
                calibration, str(header.get("camera", "")), self._counts.image_shape
            )
        except RecordingError:
            self._counts.close()
            raise
        self.provenance = loaded.provenance
        self._pipeline = loaded.pipeline(binned=binned[0] if binned else 1)

    def __enter__(self) -> "Recount":
        return self

    def __exit__(self, *_: object) -> None:
        self._counts.close()

    def __call__(self, shot: RecordedShot) -> RecordedShot:
        """The same shot with new images. Raises RecordingError for a frame without counts."""
        return replace(shot, frames=self._again(shot))

    def _again(self, shot: RecordedShot) -> Iterator[Frame]:
        for frame in shot.frames:
            counts = self._counts.of(frame.shot, frame.index)
            yield replace(frame, data=self._pipeline.apply(counts))
