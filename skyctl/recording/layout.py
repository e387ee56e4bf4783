"""Where things stand in a recording: one NeXus/HDF5 file a run.

/entry                         NXentry; attributes: run, skyctl version, model, sample, classes
/entry/instrument/camera       NXdetector; one row a frame: data, movie_time_ps, shot_number, …
/entry/data                    NXdata; the same frames, for viewers
/entry/shots/{starts,ends,verdicts,results}   NXcollection; tables, joined by shot_number
"""

import numpy as np

CAMERA = "/entry/instrument/camera"
DATA = f"{CAMERA}/data"
SHOTS = "/entry/shots"

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
        ("amplitude_T", "f8"),
        ("width_ps", "f8"),
        ("theta_deg", "f8"),
        ("phi_deg", "f8"),
        ("peak_ps", "f8"),
        ("header", "S1024"),  # the whole start message, JSON
    ]
)
COUNTS = ("received", "missing", "duplicates", "reordered", "stray", "foreign", "undecodable")
ENDS = np.dtype([("shot_number", "i4"), ("sent_frames", "i4"), *((name, "i4") for name in COUNTS)])
RESULTS = np.dtype(
    [
        ("shot_number", "i4"),
        ("label", "S16"),
        ("problem", "S160"),
        ("background", "i4"),
        ("discs", "i4"),
        ("domains", "i4"),
        ("reversed_sites", "i4"),
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
