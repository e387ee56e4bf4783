"""Figures that stand in the documentation are those of the benchmarks beside it."""

import json
from pathlib import Path

from skyctl.studies.network_table import markdown

ROOT = Path(__file__).parents[1]


def test_what_the_network_contributes_is_what_was_measured():
    measured = json.loads((ROOT / "benchmarks" / "network.json").read_text())["network"]
    assert markdown(measured) in (ROOT / "docs" / "belief.md").read_text()
