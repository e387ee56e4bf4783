"""Figures that stand in the documentation are those of the benchmarks beside it."""

import json
from pathlib import Path

import pytest

from skyctl.studies.network_table import markdown
from skyctl.studies.process_diagram import Diagram

ROOT = Path(__file__).parents[1]


def test_what_the_network_contributes_is_what_was_measured():
    measured = json.loads((ROOT / "benchmarks" / "network.json").read_text())["network"]
    assert markdown(measured) in (ROOT / "docs" / "belief.md").read_text()


@pytest.mark.parametrize(
    ("movie", "cells", "name"),
    [
        ("0–165 ps, every 15 ps (`skyctl diagram`)", "the paper's", "theta40"),
        ("0–105 ps, every 15 ps (the paper's)", "the paper's", "theta40-105"),
        ("0–165 ps, every 15 ps", "between them", "theta40-unseen-165"),
        ("0–105 ps, every 15 ps", "between them", "theta40-unseen-105"),
    ],
)
def test_the_process_diagrams_are_those_that_were_measured(movie, cells, name):
    measured = json.loads((ROOT / "benchmarks" / f"diagram-{name}.json").read_text())
    diagram = Diagram(**measured)
    (agree, clear), (unnamed, mixed) = diagram.agreement, diagram.abstention
    row = f"| {movie} | {cells} | {agree} of {clear} | {unnamed} of {mixed} |"
    assert row in (ROOT / "docs" / "measured.md").read_text()
