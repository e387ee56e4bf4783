"""Where things stand in a recording: a NeXus/HDF5 file a run.

/entry                         NXentry; attributes: run, skyctl version, model, sample, classes
/entry/instrument/camera       NXdetector; one row a frame: data, movie_time_ps, shot_number, …
/entry/data                    NXdata; the same frames with their axes, for viewers
/entry/shots/{starts,ends,verdicts,results}   NXcollection; tables, joined by shot_number
/entry/shots/{waveforms,samples}              waveforms of pulses, by the hash in their header

A long run may keep its frames in data files beside that file, the *master*: RUN.data-0.h5,
RUN.data-1.h5 …, each with ``frames_per_file`` frames in /entry/data/data. The master's ``data`` is
then a virtual dataset over them. While the run is open it is as long as the data files have room,
and NaN where no frame is yet; how many frames there are is the length of the columns.
"""

from pathlib import Path

import numpy as np

from skyctl.frame import COUNTS
from skyctl.pulse import PULSE_NUMBERS
from skyctl.verdict import SEEN

CAMERA = "/entry/instrument/camera"
DATA = f"{CAMERA}/data"
PLOT = "/entry/data"
SHOTS = "/entry/shots"
IMAGES = f"{PLOT}/data"
"""Where a data file has its frames."""
FRAMES_PER_FILE = "frames_per_file"
"""Attribute of the camera where frames are in data files."""
DATA_FILES_OF = "data_files_of"
"""Attribute beside it: the stem that data files are named after, whatever the master is called."""
ROW = "sequence_number"
"""Row of each frame in the recording, 0, 1, 2 …: the axis along which viewers step."""

FRAME_COLUMNS = {
    "movie_time_ps": "f8",
    "shot_number": "i4",
    "frame_index": "i4",
    "source_time_ns": "i8",
    "received_ns": "i8",
}
FRAME_UNITS = {"movie_time_ps": "ps", "source_time_ns": "ns", "received_ns": "ns"}

STARTS = np.dtype(
    [
        ("shot_number", "i4"),
        ("shot", "S64"),
        ("expected_frames", "i4"),
        *((name, "f8") for name in PULSE_NUMBERS),
        ("header", "S4096"),  # the whole start message, JSON; a waveform's samples by their hash
    ]
)
WAVEFORMS = np.dtype([("sha256", "S64"), ("first", "i8"), ("count", "i8")])
"""Which rows of ``samples`` are whose; see skyctl.samples."""
SAMPLES = np.dtype([("time_ps", "f8"), ("value", "f8")])
ENDS = np.dtype(
    [
        ("shot_number", "i4"),
        ("sent_frames", "i4"),
        *((name, "i4") for name in COUNTS),
        ("transit_p50_ms", "f8"),  # from the source to the hub; NaN where not measured
        ("transit_max_ms", "f8"),
        ("ended_early", "i4"),  # the camera was told to expose no more: not missing
    ]
)
RESULTS = np.dtype(
    [
        ("shot_number", "i4"),
        ("label", "S16"),
        ("problem", "S160"),
        *((name, "i4") for name in SEEN),
        ("stale", "i4"),  # frames that the classifier passed over
        ("ended_early", "i4"),  # the verdict was certain before the movie was over
        ("off_states", "f8"),  # above 1: no state of this sample; 0: not asked
    ]
)


def verdicts(classes: int) -> np.dtype:
    """The verdict table's row: a verdict a frame, with the probability of each class."""
    return np.dtype(
        [
            ("shot_number", "i4"),
            ("frame_index", "i4"),
            ("label", "S16"),
            ("received_ns", "i8"),
            ("decided_ns", "i8"),
            ("probabilities", "f4", (max(classes, 1),)),  # HDF5 has no array of nothing
        ]
    )


def data_file(master: Path, number: int | str) -> Path:
    """The data file of that number (0, 1, 2 …), beside its master."""
    return master.with_name(f"{master.stem}.data-{number}.h5")
