"""Beamlines: pulser, camera, classifier, decisions and stream, assembled around one sample.

>>> from skyctl.beamline import simulated_beamline
>>> with simulated_beamline("runs") as beamline:
...     print(beamline)
"""

from skyctl.beamline.beamline import Beamline, assemble
from skyctl.beamline.load import load_beamline
from skyctl.beamline.replayed import replayed_beamline
from skyctl.beamline.simulated import simulated_beamline

__all__ = ["Beamline", "assemble", "load_beamline", "replayed_beamline", "simulated_beamline"]
