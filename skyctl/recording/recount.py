"""Recount: S_z of a recording's frames, computed again from the raw counts beside it."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from skyctl.errors import RecordingError
from skyctl.frame import Frame
from skyctl.recording.counts import Counted, RecordedCounts
from skyctl.recording.playback import RecordedShot
from skyctl.recording.reader import Recording
from skyctl.stream.sources.calibration import Calibration
from skyctl.stream.sources.contrast import Bin, Pipeline, Shift, shift_by
from skyctl.stream.sources.drifting import Drifting


class Recount:
    """Takes a recorded shot and gives it with S_z of another calibration; a context manager.

    calibration : a file that `calibrate_contrast` wrote, of the camera that the recording names;
        pixels are binned, and the source's marks for gaps taken, as they were. Where the run
        registered its movies, images are moved as they were; by another calibration than the run's
        they are registered anew

    Raises RecordingError: no counts were recorded, the calibration is of another camera, or
    scikit-image is wanted and not there.
    """

    def __init__(self, recording: Recording, calibration: Path) -> None:
        header = recording.header
        self._counts = RecordedCounts(recording.path)
        try:
            loaded = Calibration.load(
                calibration, str(header.get("camera", "")), self._counts.image_shape
            )
            self._pipeline_of = _pipelines(header.get("counts_to_sz", []), loaded)
        except RecordingError:
            self._counts.close()
            raise
        self.provenance = loaded.provenance

    def __enter__(self) -> "Recount":
        return self

    def __exit__(self, *_: object) -> None:
        self._counts.close()

    def __call__(self, shot: RecordedShot) -> RecordedShot:
        """The same shot with new images. Raises RecordingError for a frame without counts."""
        return replace(shot, frames=self._again(shot))

    def _again(self, shot: RecordedShot) -> Iterator[Frame]:
        before: tuple[float, ...] | None = None
        pipeline: Pipeline | None = None
        for frame in shot.frames:
            counted = self._counts.of(frame.shot, frame.index)
            if pipeline is None or counted.shift != before:
                pipeline, before = self._pipeline_of(counted), counted.shift
            yield replace(frame, data=pipeline.apply(counted.counts))


def _pipelines(
    stages: list[dict[str, Any]], calibration: Calibration
) -> Callable[[Counted], Pipeline]:
    """What gives the pipeline of a movie, or of a part of it that was moved alike, from the first
    of its images. stages : as the recording lists them"""
    told = {stage.get("stage"): stage for stage in stages}
    binned = told.get(Bin.name, {}).get("pixels", 1)
    if marks := told.get("gaps"):
        calibration = replace(calibration, gaps=tuple(marks["marks"]))
    registered = told.get(Shift.name)
    if registered is None:
        still = calibration.pipeline(binned=binned)
        return lambda first: still
    if registered["calibration"] == calibration.sha256():
        return lambda first: calibration.pipeline(shift_by(first.shift), binned)
    drifting = Drifting(calibration, registered["farthest"], binned)
    return lambda first: drifting.for_movie(first.counts)
