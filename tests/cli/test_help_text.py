"""Help in a terminal of 80 columns: prose flows, examples stand, extras keep their brackets."""

import pytest
from typer.testing import CliRunner

from skyctl.cli import app
from skyctl.cli.help_text import flowing


def test_prose_flows_and_examples_stay_on_lines_of_their_own():
    text = (
        "First.\n\nOne line\nand more. Example: of\nprose.\n"
        "Try it: skyctl run\n--mock\n    skyctl on"
    )
    assert flowing(text) == (
        "First.\n\nOne line and more. Example: of prose.\nTry it: skyctl run --mock\n    skyctl on"
    )


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("generate", "knows nothing; --set makes it another."),
        ("generate", "Pulse it:     skyctl generate --size 100 --field 0.95 --number 8 --out 8.h5"),
        ("steer", "The film is a simulated beamline's, which the network has not seen where"),
        ("steer", "--sample is given. The cost of a shot is"),
        ("train generator", "pip install 'bluesky-skyctl[train]'"),
    ],
)
def test_the_help_of_a_command_reads_well_in_80_columns(command, line):
    shown = CliRunner().invoke(app, [*command.split(), "--help"], env={"COLUMNS": "80"})
    assert line in shown.output
