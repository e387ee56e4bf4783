"""The map as documents: an event of the stream ``map`` after each of its shots."""

import copy
import time
from functools import partial
from typing import Any

import bluesky.plan_stubs as bps
import numpy as np

from skyctl.agents.boundary_mapper import BoundaryMapper, ProcessMap
from skyctl.plans.stubs import Plan, in_one_go
from skyctl.plans.threads import in_thread

MAP = "map"
"""Name of the stream, and of what is read into it."""


class MapReading:
    """What a mapper makes of its shots, as bluesky reads it.

    Arrays are (rows, columns): ``map_labels`` numbers of classes, ``map_error`` the chance that
    one is wrong, ``map_fired`` how many shots were fired there. The axes and the names of the
    classes stand in the configuration.
    """

    name = MAP
    parent = None

    def __init__(self, mapper: BoundaryMapper) -> None:
        self._mapper = mapper
        self._values: dict[str, Any] = {}
        self._time = 0.0

    def show(self, made: ProcessMap) -> None:
        """Take the map as it stands."""
        fired = np.bincount(self._mapper.cells, minlength=made.labels.size)
        self._values = {
            "map_labels": made.labels.tolist(),
            "map_error": made.error.tolist(),
            "map_fired": fired.reshape(made.labels.shape).tolist(),
            "map_shots": self._mapper.shots,
        }
        self._time = time.time()

    def read(self) -> dict[str, Any]:
        """The map."""
        return {k: {"value": v, "timestamp": self._time} for k, v in self._values.items()}

    def describe(self) -> dict[str, Any]:
        """Its data keys."""
        shape = list(self._mapper.shape)
        kinds = {"map_labels": "<i8", "map_error": "<f8", "map_fired": "<i8"}
        keys: dict[str, Any] = {
            name: {"source": MAP, "dtype": "array", "dtype_numpy": kind, "shape": shape}
            for name, kind in kinds.items()
        }
        keys["map_shots"] = {"source": MAP, "dtype": "integer", "dtype_numpy": "<i8", "shape": []}
        return keys

    def read_configuration(self) -> dict[str, Any]:
        """The axes and classes."""
        return {k: {"value": v, "timestamp": self._time} for k, v in self._axes().items()}

    def describe_configuration(self) -> dict[str, Any]:
        """Data keys of the axes and classes."""
        keys: dict[str, Any] = {}
        for name, value in self._axes().items():
            array = isinstance(value, list)
            of = value[0] if array else value
            keys[name] = {
                "source": MAP,
                "dtype": "array" if array else "string",
                "dtype_numpy": "<U32" if isinstance(of, str) else "<f8",
                "shape": [len(value)] if array else [],
            }
        return keys

    def _axes(self) -> dict[str, Any]:
        rows, columns = self._mapper.rows, self._mapper.columns
        return {
            "map_row_name": rows.name,
            "map_rows": list(rows.values),
            "map_column_name": columns.name,
            "map_columns": list(columns.values),
            "map_classes": list(self._mapper.classes),
        }


class MapStream:
    """Writes the map down whenever it has a shot more; its plan is `written`."""

    def __init__(self, mapper: BoundaryMapper) -> None:
        self._mapper, self._reading = mapper, MapReading(mapper)
        self._shots = 0

    def written(self) -> Plan[None]:
        """Write an event, if there was a shot since the last.

        The map is made of a copy: making it may fit the mapper's field anew, and what it chooses
        must not depend on who looks.
        """
        if self._mapper.shots == self._shots:
            return
        self._shots = self._mapper.shots
        made, _ = yield from in_thread(partial(_made, self._mapper))
        if made is None:
            return
        self._reading.show(made)
        yield from in_one_go(self._event())

    def _event(self) -> Plan[None]:
        yield from bps.create(name=MAP)
        yield from bps.read(self._reading)
        yield from bps.save()


def _made(mapper: BoundaryMapper) -> ProcessMap:
    return copy.deepcopy(mapper).map()
