"""Pictures are drawn from what there is, and refuse what there is not."""

import matplotlib.image
import numpy as np
import pytest

from skyctl.agents.boundary_mapper import ProcessMap
from skyctl.agents.map_grid import Axis
from skyctl.pictures import LETTER_COLOURS, process_map
from skyctl.plans.mapping import MapReport

AXES = Axis("amplitude_T", (1.0, 2.0)), Axis("width_ps", (4.0, 8.0, 12.0))


def test_a_map_is_drawn_in_the_colours_of_its_outcomes(tmp_path):
    labels = np.array([[0, 1, 2], [3, 0, 1]])
    found = ProcessMap(labels, np.zeros((2, 3, 4)), np.full((2, 3), 0.1), checks=0, misses=0)
    points = [{"amplitude_T": 1.0, "width_ps": 8.0, "label": "switching"}]
    process_map(MapReport(*AXES, shots=1, points=points, map=found), tmp_path / "map.png")
    pixels = (matplotlib.image.imread(tmp_path / "map.png")[..., :3] * 255).round().astype(int)
    for colour in LETTER_COLOURS.values():
        drawn = (pixels == [int(colour[i : i + 2], 16) for i in (1, 3, 5)]).all(axis=-1)
        assert drawn.sum() > 2000  # a cell, and more than its patch in the legend


def test_a_map_without_a_shot_is_not_drawn(tmp_path):
    with pytest.raises(ValueError, match="no shot was fired"):
        process_map(MapReport(*AXES), tmp_path / "map.png")
