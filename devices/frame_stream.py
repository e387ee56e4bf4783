"""A camera's frames as documents: where they are, not what they hold."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from event_model import ComposeStreamResourceBundle, compose_stream_resource

from skyctl.errors import RecordingError
from skyctl.recording import layout
from skyctl.recording.writer import Recorder


def check_folder(folder: Path) -> None:
    """Raise RecordingError for a folder that a document cannot name: readers of documents take the
    file's address apart at these signs, and do not undo an encoding of them."""
    if odd := set(str(folder.resolve())) & set("#?;"):
        raise RecordingError(
            f"folder {folder}: recordings there cannot be named in documents, for the "
            f"{' and '.join(sorted(odd))} in its name. Choose another folder."
        )


class FrameStream:
    """The camera's frames as documents: a StreamResource a dataset, StreamDatum for the frames."""

    def __init__(self, name: str, shape: tuple[int, ...]) -> None:
        self.name = name
        self.parent = None
        self._shape = shape
        self._recorder: Recorder | None = None
        self._bundles: list[ComposeStreamResourceBundle] = []
        self._collected = 0

    def begin(self, recorder: Recorder) -> None:
        """Describe the frames of ``recorder`` from now on."""
        self._recorder, self._bundles, self._collected = recorder, [], 0

    @property
    def hints(self) -> dict[str, Any]:
        """None of it for live plots: events have no image, only where it is."""
        return {"fields": []}

    def get_index(self) -> int:
        """Frames on disk."""
        return self._recorder.frames_written if self._recorder else 0

    def describe_collect(self) -> dict[str, Any]:
        """Data keys of the frames: the image, and its movie time."""
        source = str(self._recorder.path) if self._recorder else ""
        image = {"shape": list(self._shape), "dtype": "array", "dtype_numpy": "<f4"}
        time = {"shape": [], "dtype": "number", "dtype_numpy": "<f8", "units": "ps"}
        shot = {"shape": [], "dtype": "integer", "dtype_numpy": "<i4"}
        keys = {"": image, "_movie_time_ps": time, "_shot_number": shot}
        return {
            f"{self.name}{suffix}": {"source": source, "external": "STREAM:", **key}
            for suffix, key in keys.items()
        }

    def collect_asset_docs(self, index: int | None = None) -> Iterator[tuple[str, Any]]:
        """The StreamResources once, then StreamDatum for the frames since the last call."""
        start, stop = self._collected, self.get_index() if index is None else index
        if self._recorder is None or stop <= start:
            return
        if not self._bundles:
            # Over several data files the master's image is a virtual dataset: it has no chunks.
            several = self._recorder.storage.frames_per_file
            for suffix, dataset, chunk in (
                ("", "data", [] if several else [1, *self._shape]),
                ("_movie_time_ps", "movie_time_ps", [1024]),
                ("_shot_number", "shot_number", [1024]),
            ):
                bundle = compose_stream_resource(
                    mimetype="application/x-hdf5",
                    uri=f"file://localhost{self._recorder.path.resolve()}",
                    data_key=f"{self.name}{suffix}",
                    parameters={
                        "dataset": f"{layout.CAMERA}/{dataset}",
                        "chunk_shape": chunk,
                        "swmr": True,
                        "join_method": "stack",
                    },
                )
                self._bundles.append(bundle)
                yield "stream_resource", bundle.stream_resource_doc
        self._collected = stop
        for bundle in self._bundles:
            yield "stream_datum", bundle.compose_stream_datum({"start": start, "stop": stop})
