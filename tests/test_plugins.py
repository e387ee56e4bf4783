"""Other people's packages: the example of the docs, installed; broken ones; clashes."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import zmq
from bluesky import RunEngine
from typer.testing import CliRunner

from skyctl.agents.named import agent_maker
from skyctl.beamline import load_beamline, simulated_beamline
from skyctl.beamline.file import read_beamline
from skyctl.cli import app
from skyctl.doctor import check_up
from skyctl.errors import InstrumentError
from skyctl.frame import Frame, ShotEnd, ShotStart
from skyctl.inference.model import MovieClassifier
from skyctl.plans import write
from skyctl.plugins import PluginError, load, offered, tried
from skyctl.pulse import FrameSchedule
from skyctl.simulators.instrument.practice import PracticeInstrument
from skyctl.simulators.instrument.scpi import ScpiServer
from skyctl.simulators.lattice.film import FilmParameters
from skyctl.stream.sources.pixels import Scaling

EXAMPLE = Path(__file__).parents[1] / "docs" / "plugin"
FILE = """
name = "with a plug-in"
model = "process"
agent = "steps"

[pulser]
driver = "scpi-pulser"
transport = "noted-scpi"
address = "{address}"
envelope = {{ shots = 20 }}

[camera]
driver = "scpi-camera"
transport = "scpi"
address = "{address}"
shape = [30, 30]

[camera.frames]
source = "plain"
address = "{images}"
offset = 0.0
scale = 1.0
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder that the example was installed into, as pip does it for a user."""
    folder = tmp_path_factory.mktemp("site")
    copy = tmp_path_factory.mktemp("source") / "plugin"
    subprocess.run(["cp", "-r", str(EXAMPLE), str(copy)], check=True)  # pip builds beside it
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation"]
    command += ["--no-compile", "--target", str(folder), str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def installed(site, monkeypatch):
    monkeypatch.syspath_prepend(str(site))


def offer(folder, monkeypatch, distribution, points, module="", text=""):
    """A package of this name that offers these entry points: text of its entry_points.txt."""
    info = folder / f"{distribution}-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1\n")
    (info / "entry_points.txt").write_text(points)
    if module:
        (folder / f"{module}.py").write_text(text)
    monkeypatch.syspath_prepend(str(folder))


def test_the_example_offers_one_of_each_kind(installed):
    of_the_example = ["agent 'steps'", "source 'plain'", "driver 'noted-scpi'", "model 'process'"]
    assert tried() == dict.fromkeys(["agent 'imagining'", *of_the_example], "")  # ours is the first
    findings = {finding.what: finding for finding in check_up().findings}
    assert findings["agent 'steps'"].well


def test_its_agent_writes_a_skyrmion_and_the_documents_name_it(installed, tmp_path):
    film = FilmParameters(rows=60, columns=60)
    documents = []
    with simulated_beamline(tmp_path, parameters=film) as line:
        RE = RunEngine({}, call_returns_result=True)
        RE.subscribe(lambda name, doc: documents.append((name, doc)))
        report = RE(write(line, agent="steps", shots=6)).plan_result
    assert report.reached, report.reason
    assert documents[0][1]["plan_args"]["agent"] == "steps"
    decided = [doc["data"] for name, doc in documents if "decisions_agent" in doc.get("data", {})]
    assert {event["decisions_agent"] for event in decided} == {"steps"}


def test_the_command_takes_the_agent_of_the_file_and_names_one_that_is_not_there(
    installed, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "bluesky_tiled_plugins", None)  # takes seconds to begin
    path = tmp_path / "beamline.toml"
    path.write_text(FILE.format(address="127.0.0.1:1", images="ipc://x"))
    command = ["run", "write", "--mode", "dry-run", "--beamline", str(path), "--mock"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "6 T" in done.output
    assert "catalogue  none: pip install 'bluesky-skyctl[catalogue]'" in done.output
    done = CliRunner().invoke(app, [*command, "--agent", "stairs"])
    assert done.exit_code == 1
    said = " ".join(done.stderr.split())
    assert "agent 'stairs'" in said
    assert "seeker, recipe, random, random-search, imagining, steps" in said


def test_a_beamline_file_names_driver_source_model_and_agent(installed, tmp_path, cleanup):
    class Film:
        shape = (30, 30)

        def cancel(self):
            return ""

        def finish(self, shot):
            pass

    server = ScpiServer(PracticeInstrument(Film()))
    cleanup.callback(server.close)
    path = tmp_path / "beamline.toml"
    path.write_text(FILE.format(address=server.address, images=f"ipc://{tmp_path}/images"))
    said = read_beamline(path)
    assert said.agent == "steps"
    assert MovieClassifier(said.model).path.read_bytes() == MovieClassifier().path.read_bytes()
    with load_beamline(path) as line:
        pulser = line.sample.pulser
        pulser.disarm()
        deadline = time.monotonic() + 5
        while not pulser.transport.noted and time.monotonic() < deadline:
            time.sleep(0.01)
        assert "OUTP" in pulser.transport.noted


def test_its_source_films_shots_from_images_without_numbers(installed, tmp_path):
    address = f"ipc://{tmp_path}/images"
    camera = zmq.Context.instance().socket(zmq.PUSH)
    camera.bind(address)
    source = load("sources", "plain")(address, Scaling(0.0, 0.5), None)
    try:
        source.parser.expect(
            ShotStart("run", "shot", None, FrameSchedule(), expected_frames=2, shape=(2, 3))
        )
        events = []
        for value in (1, 2):
            camera.send_multipart([b"2 3 <u2", np.full((2, 3), value, "<u2").tobytes()])
            events += source.parser.parse(source.transport.receive(2000), 0)
        assert [type(event) for event in events] == [ShotStart, Frame, Frame, ShotEnd]
        assert [event.data[0, 0] for event in events[1:3]] == [0.5, 1.0]
    finally:
        source.transport.close()
        camera.close(0)


def test_a_broken_package_is_named_and_stops_nobody_else(installed, tmp_path, monkeypatch):
    points = (
        "[skyctl.agents]\nworn = worn_out:Agent\nhalf = half_made:Agent\nfive = half_made:FIVE\n"
    )
    text = "FIVE = 5\nclass Agent:\n    def __init__(self, *a):\n        raise KeyError('a part')\n"
    offer(tmp_path, monkeypatch, "worn-package", points, "half_made", text)
    with pytest.raises(PluginError, match=r"agent 'worn' of worn-package.*ModuleNotFoundError"):
        agent_maker("worn")
    with pytest.raises(PluginError, match=r"'five' of worn-package: .*neither a class"):
        agent_maker("five")
    with pytest.raises(PluginError, match=r"agent 'half' of worn-package: failed \(KeyError"):
        agent_maker("half")("write", (1.0, 1.0), None, None)
    assert agent_maker("steps")
    assert {which for which, fault in tried().items() if fault} == {"agent 'five'", "agent 'worn'"}


def test_a_name_that_two_packages_offer_is_refused(installed, tmp_path, monkeypatch):
    offer(tmp_path, monkeypatch, "second", "[skyctl.agents]\nsteps = half:Agent\n")
    with pytest.raises(PluginError, match="second and skyctl-example both offer it"):
        agent_maker("steps")


def test_a_beamline_file_with_a_name_that_nobody_offers_says_what_there_is(tmp_path):
    path = tmp_path / "beamline.toml"
    path.write_text(FILE.format(address="127.0.0.1:1", images="ipc://x"))
    with pytest.raises(InstrumentError, match=r"pulser.transport.*there are: scpi, ca, pva, simpl"):
        read_beamline(path)


def test_without_plug_ins_our_own_seeker_alone_is_offered():
    found = {kind: [*offered(kind)] for kind in ("agents", "sources", "drivers", "models")}
    assert found == {"agents": ["imagining"], "sources": [], "drivers": [], "models": []}
