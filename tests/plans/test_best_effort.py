"""What Bluesky's own live table and plots show of a run."""

import matplotlib as mpl
import pytest
from bluesky.callbacks.best_effort import BestEffortCallback

from skyctl.plans import classify_shot
from skyctl.pulse import Pulse


@pytest.mark.filterwarnings("ignore:Omitting classifier_label from plot:UserWarning")
def test_the_table_has_pulse_and_verdict_and_every_plot_has_data(engine, beamline, capsys):
    with mpl.rc_context({"backend": "agg"}):
        engine.subscribe(BestEffortCallback())
        engine(classify_shot(beamline, Pulse(amplitude_T=1, width_ps=2)))
    shown = capsys.readouterr().out
    (row,) = (line for line in shown.splitlines() if line.startswith("|         1 |"))
    assert "1.000" in row
    assert beamline.classifier.label.get() in row
    assert "did not get any data" not in shown
