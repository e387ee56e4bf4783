"""The startup module of queue servers: what it offers, and that a person's yes is what fires."""

import getpass
import importlib
import inspect
import json
import os
import subprocess
import sys
import threading
import time
import typing
from importlib import resources
from pathlib import Path

import httpx
import pytest
import yaml
from bluesky import RunEngine
from bluesky.utils import Msg

from skyctl.plugins import PluginError

FOLDER = Path(str(resources.files("skyctl.queueserver")))
PLANS = [
    "characterise",
    "classify_shot",
    "cycle",
    "erase",
    "map_process_diagram",
    "reach_state",
    "rehearse",
    "switch",
    "write",
]
STARTUP = "skyctl.queueserver.startup"
PATIENCE_S = 60


@pytest.fixture
def startup(tmp_path, monkeypatch):
    """The module as a worker imports it; its beamline is closed afterwards."""
    monkeypatch.setenv("SKYCTL_RUNS", str(tmp_path))
    sys.modules.pop(STARTUP, None)
    module = importlib.import_module(STARTUP)
    yield module
    module._beamline.close()
    sys.modules.pop(STARTUP, None)


@pytest.fixture
def startup_with_page(tmp_path, monkeypatch):
    monkeypatch.setenv("SKYCTL_RUNS", str(tmp_path))
    monkeypatch.setenv("SKYCTL_MONITOR", "0")
    monkeypatch.delenv("SKYCTL_PEOPLE", raising=False)
    sys.modules.pop(STARTUP, None)
    module = importlib.import_module(STARTUP)
    yield module
    module._page.close()
    module._beamline.close()
    sys.modules.pop(STARTUP, None)


def asked(startup):
    """The shot that is asked for, once one is."""
    tick, end = threading.Event(), time.monotonic() + PATIENCE_S
    while not (shot := startup.pending_approval()["shot"]):
        assert time.monotonic() < end, "nothing is asked for"
        tick.wait(0.01)
    return shot


def plain(kind):
    return kind in (int, float, str, bool, list[list[float]]) or (
        typing.get_origin(kind) is typing.Literal
        and all(isinstance(value, str) for value in typing.get_args(kind))
    )


def test_plans_take_plain_values_and_return_plans(startup):
    for name in PLANS:
        plan = getattr(startup, name)
        assert inspect.isgeneratorfunction(plan)
        hints = typing.get_type_hints(plan)
        assert typing.get_args(hints.pop("return"))[0] is Msg
        for parameter in inspect.signature(plan).parameters.values():
            assert plain(parameter.annotation), parameter
            assert parameter.name in inspect.getdoc(plan)


def test_the_module_has_the_engine_that_a_queue_server_runs_plans_with(startup, tmp_path):
    assert isinstance(startup.RE, RunEngine)
    startup.RE(startup.write(mode="dry-run"))
    lines = (tmp_path / "documents.jsonl").read_text().splitlines()
    names = [json.loads(line)["name"] for line in lines]
    assert (names[0], names[-1]) == ("start", "stop")


def test_the_agent_may_be_another_and_must_be_there(startup, tmp_path):
    startup.RE(startup.write(mode="dry-run", agent="random"))
    with pytest.raises(PluginError, match="nobody"):
        startup.RE(startup.switch(mode="dry-run", agent="nobody"))
    lines = (tmp_path / "documents.jsonl").read_text().splitlines()
    assert json.loads(lines[0])["doc"]["plan_args"]["agent"] == "random"


def test_skyrmions_are_wanted_at_places(startup):
    engine = RunEngine({}, call_returns_result=True)
    told = engine(startup.reach_state([[30, 30], [70, 70]], mode="dry-run")).plan_result
    assert (told["reached"], told["pulses"]) == (False, 0)
    with pytest.raises(ValueError, match=r"\[\[30\]\]: give each as \[x, y\]"):
        engine(startup.reach_state([[30]]))


def test_a_rehearsal_is_told_in_its_start_document(startup):
    documents = []
    engine = RunEngine({}, call_returns_result=True)
    engine.subscribe(lambda name, doc: documents.append((name, doc)))
    told = engine(startup.rehearse("erase", twins=1)).plan_result
    assert told["outcomes"] == {"reached": 1}
    assert [name for name, _ in documents] == ["start", "stop"]
    assert documents[0][1]["rehearsal"] == told
    assert startup.pulser.shots_fired.get() == 0


def test_the_modes_offered_are_the_plans(startup):
    from skyctl.plans import modes

    assert typing.get_args(startup.Mode) == modes.MODES


def test_nothing_fires_without_the_approval_of_the_one_it_asks(startup, tmp_path):
    startup.camera.duration_ps.put(20.0)
    done = []

    def approve():
        first = asked(startup)
        done.append((tmp_path / "ledger.jsonl").read_text())
        startup.approve(first, "Ada")
        startup.refuse(asked(startup), "Ada", "enough")

    thread = threading.Thread(target=approve)
    thread.start()
    RunEngine({})(
        startup.switch(shots=2, timeout_s=PATIENCE_S)
    )  # of an empty film: it needs at least two pulses
    thread.join()
    assert done == [""]
    assert len((tmp_path / "ledger.jsonl").read_text().splitlines()) == 1


def test_a_pulse_chosen_by_hand_is_asked_for_too(startup, tmp_path):
    startup.camera.duration_ps.put(20.0)
    engine = RunEngine({}, call_returns_result=True)
    pulse = {"amplitude_T": 2.0, "width_ps": 4.0}
    told = engine(startup.classify_shot(**pulse, timeout_s=0.05)).plan_result
    assert "no answer within" in told["problem"]
    told = engine(startup.classify_shot(**pulse, mode="dry-run")).plan_result
    assert "nothing is fired" in told["problem"]
    assert (tmp_path / "ledger.jsonl").read_text() == ""

    def approve():
        startup.approve(asked(startup), "Ada")

    thread = threading.Thread(target=approve)
    thread.start()
    told = engine(startup.classify_shot(**pulse, timeout_s=PATIENCE_S)).plan_result
    thread.join()
    assert told["label"]
    assert len((tmp_path / "ledger.jsonl").read_text().splitlines()) == 1


def test_an_operator_answers_on_the_page_whatever_engine_runs_the_plan(
    tmp_path, monkeypatch, startup_with_page
):
    module = startup_with_page
    token = json.loads((tmp_path / "people.json").read_text())[getpass.getuser()]["token"]
    address = module._page.url.partition("/?")[0]
    assert module._page.url.endswith(token)
    done = []

    def answer():
        with httpx.Client(base_url=address, trust_env=False) as http:
            http.get(f"/?token={token}")
            asked(module)
            time.sleep(0.6)  # what has just changed is not answered
            state = module._page.state()
            said = {"shot": state["request"]["shot"], "approved": True, "comment": ""}
            done.append(
                http.post(
                    "/api/answer",
                    json={**said, "stamp": state["stamp"]},
                    headers={"Origin": address},
                ).json()
            )

    thread = threading.Thread(target=answer)
    thread.start()
    engine = RunEngine({}, call_returns_result=True)  # as blueapi has one of its own
    report = engine(module.write(shots=1, timeout_s=PATIENCE_S)).plan_result
    thread.join()
    assert done == [{"done": True, "why": ""}]
    assert report["pulses"] == 1
    state = module._page.state()
    assert (state["run"]["plan"], state["run"]["exit"]) == ("write", "success")
    assert state["decision"]["approver"] == getpass.getuser()


def test_who_queues_does_not_approve():
    groups = yaml.safe_load((FOLDER / "user_group_permissions.yaml").read_text())["user_groups"]
    assert sorted(groups["primary"]["allowed_plans"]) == PLANS
    assert groups["primary"]["allowed_functions"] == ["pending_approval"]
    assert groups["approvers"]["allowed_plans"] == []
    assert "approve" in groups["approvers"]["allowed_functions"]


def environment(tmp_path):
    return {**os.environ, "SKYCTL_RUNS": str(tmp_path / "runs"), "PYTHONWARNINGS": "ignore"}


@pytest.mark.slow
def test_a_queue_server_lists_and_validates_the_plans(tmp_path):
    pytest.importorskip("bluesky_queueserver")
    from bluesky_queueserver import validate_plan
    from bluesky_queueserver.manager.profile_ops import load_allowed_plans_and_devices

    command = Path(sys.executable).with_name("qserver-list-plans-devices")
    subprocess.run(
        [command, "--startup-module", STARTUP, "--file-dir", tmp_path],
        check=True,
        env=environment(tmp_path),
    )
    plans, devices = load_allowed_plans_and_devices(
        path_existing_plans_and_devices=str(tmp_path / "existing_plans_and_devices.yaml"),
        path_user_group_permissions=str(FOLDER / "user_group_permissions.yaml"),
    )
    assert sorted(plans["primary"]) == PLANS
    assert plans["approvers"] == {}
    assert set(devices["primary"]) == {"pulser", "camera", "classifier", "decisions"}

    def accepted(name, **kwargs):
        item = {"item_type": "plan", "name": name, "kwargs": kwargs}
        return validate_plan(
            item, allowed_plans=plans["primary"], allowed_devices=devices["primary"]
        )[0]

    assert accepted("write")
    assert accepted("cycle", cycles=50, mode="autonomous")
    assert accepted("classify_shot", amplitude_T=2.0, width_ps=8.0)
    assert accepted("reach_state", places=[[30, 30], [70, 70]])
    assert not accepted("reach_state", places="everywhere")
    assert not accepted("write", mode="yolo")
    assert not accepted("write", shots="many")
    assert not accepted("classify_shot")


@pytest.mark.slow
def test_blueapi_loads_the_plans(tmp_path, monkeypatch):
    pytest.importorskip("blueapi")
    monkeypatch.setenv("SKYCTL_RUNS", str(tmp_path))
    from blueapi.config import ApplicationConfig
    from blueapi.core import BlueskyContext

    settings = yaml.safe_load((FOLDER / "blueapi.yaml").read_text())
    plans = BlueskyContext(ApplicationConfig.model_validate(settings)).plans
    assert sorted(plans) == PLANS
    plans["write"].model(shots=4, mode="shadow")
    with pytest.raises(ValueError, match="mode"):
        plans["write"].model(mode="yolo")
