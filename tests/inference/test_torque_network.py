"""The torque network's session: evaluations on addresses, and one session a lattice on CUDA."""

import importlib.resources
import os
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from distributed.protocol.pickle import dumps, loads
from numba import cuda
from onnx import TensorProto, helper

from skyctl.errors import ModelError
from skyctl.inference import torque_network as torque_module
from skyctl.inference.session import open_session, shipped_model
from skyctl.inference.torque_network import FEWEST_SITES, LATTICE, TorqueNetwork
from skyctl.pulse import Pulse, Spot
from skyctl.simulators.itinerant.electrons import random_spins
from skyctl.simulators.itinerant.film import ItinerantFilmParameters, TorqueFilm

METADATA = {
    "name": "a row up", "version": "1", "architecture": "made up", "lattice": LATTICE,
    "electrons": "{}", "mean_field": "0.05", "trained_side": "24", "data_sha256": "0",
}  # fmt: skip
SHIPPED = sorted(Path(str(importlib.resources.files("skyctl.models"))).glob("*torque*.onnx"))


@pytest.fixture
def model(tmp_path):
    """A network whose field is 0.05 of the spin a row up, by way of the shape of its input."""

    def constant(name, *values):
        return helper.make_tensor(name, TensorProto.INT64, [len(values)], values)

    nodes = [
        helper.make_node("Slice", ["spins", "last", "end", "axis"], ["wrapped"]),
        helper.make_node("Slice", ["spins", "first", "last", "axis"], ["others"]),
        helper.make_node("Concat", ["wrapped", "others"], ["rolled"], axis=1),
        helper.make_node("Shape", ["spins"], ["shape"]),
        helper.make_node("Reshape", ["rolled", "shape"], ["shaped"]),
        helper.make_node("Mul", ["shaped", "strength"], ["field"]),
    ]
    sides = [3, "rows", "columns"]
    graph = helper.make_graph(
        nodes,
        "torque",
        [helper.make_tensor_value_info("spins", TensorProto.FLOAT, sides)],
        [helper.make_tensor_value_info("field", TensorProto.FLOAT, sides)],
        [
            constant("first", 0),
            constant("last", -1),
            constant("end", 2**62),
            constant("axis", 1),
            helper.make_tensor("strength", TensorProto.FLOAT, [], [0.05]),
        ],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(made, METADATA)
    path = tmp_path / "torque.onnx"
    onnx.save(made, path)
    return path


def hostile(tmp_path, nodes, *constants):
    """The path of a network that has the right names and a card."""
    kind = TensorProto.FLOAT
    spins = helper.make_tensor_value_info("spins", kind, [3, "rows", "columns"])
    field = helper.make_tensor_value_info("field", kind, None)
    graph = helper.make_graph(nodes, "hostile", [spins], [field], constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(made, METADATA)
    onnx.save(made, tmp_path / "hostile.onnx")
    return tmp_path / "hostile.onnx"


def test_a_graph_whose_loop_never_ends_is_refused_in_time(tmp_path, endless_loop, monkeypatch):
    monkeypatch.setattr("skyctl.inference.session._TRIAL_S", 0.5)
    begun = time.monotonic()
    path = hostile(tmp_path, endless_loop("spins", "field"))
    with pytest.raises(ModelError, match=r"hostile\.onnx: cannot take .*no answer within 0.5 s"):
        TorqueNetwork(path)
    assert time.monotonic() - begun < 20


def test_a_graph_that_wants_more_memory_than_there_is_is_refused_by_name(tmp_path):
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    sites = helper.make_tensor("sites", TensorProto.INT64, [1], [memory // 4])
    nodes = [
        helper.make_node("ConstantOfShape", ["sites"], ["zeros"]),
        helper.make_node("ReduceSum", ["zeros"], ["sum"]),
        helper.make_node("Add", ["spins", "sum"], ["field"]),
    ]
    with pytest.raises(ModelError, match=r"hostile\.onnx: cannot take one state"):
        TorqueNetwork(hostile(tmp_path, nodes, sites))


@pytest.mark.parametrize(
    ("operation", "why"), [("Log", "what is no number"), ("ReduceSum", r"gives \(1, 1, 1\)")]
)
def test_a_graph_that_gives_no_field_is_refused(tmp_path, operation, why):
    path = hostile(tmp_path, [helper.make_node(operation, ["spins"], ["field"])])
    with pytest.raises(ModelError, match=why):
        TorqueNetwork(path)


@pytest.mark.parametrize(
    "fault", [{"trained_side": "9" * 9}, {"trained_side": "-24"}, {"electrons": "[" * 100_000}]
)
def test_absurd_metadata_are_refused(tmp_path, fault, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "METADATA", METADATA | fault)
    path = hostile(tmp_path, [helper.make_node("Identity", ["spins"], ["field"])])
    with pytest.raises(ModelError, match="metadata are missing or damaged"):
        TorqueNetwork(path)


def test_a_file_without_an_end_is_no_model(monkeypatch):
    monkeypatch.setattr("skyctl.inference.session._LARGEST_FILE", 10**6)
    with pytest.raises(ModelError, match="torque model /dev/zero: 2 GiB or more"):
        TorqueNetwork("/dev/zero")


def spins_of(rows, columns, seed=0):
    return random_spins(rows, columns, np.random.default_rng(seed)).astype(np.float32)


def test_a_bound_evaluation_works_on_the_arrays_themselves(model):
    network = TorqueNetwork(model)
    assert network.device == "cpu"
    spins, field = spins_of(8, 11), np.zeros((3, 8, 11), np.float32)
    evaluate = network.bind(spins.ctypes.data, field.ctypes.data, 8, 11)
    for seed in (0, 1):
        spins[:] = spins_of(8, 11, seed)
        evaluate()
        np.testing.assert_array_equal(field, np.float32(0.05) * np.roll(spins, 1, 1))
        np.testing.assert_array_equal(field, network(spins))


def test_two_evaluations_may_share_their_field(model):
    network = TorqueNetwork(model)
    field = np.zeros((3, 9, 8), np.float32)
    first, second = spins_of(9, 8, 1), spins_of(9, 8, 2)
    evaluations = [network.bind(s.ctypes.data, field.ctypes.data, 9, 8) for s in (first, second)]
    for evaluate, spins in zip(evaluations * 2, (first, second) * 2, strict=True):
        evaluate()
        np.testing.assert_array_equal(field, network(spins))


def test_lattices_that_are_too_small_are_refused(model):
    with pytest.raises(ValueError, match=f"{FEWEST_SITES} or more"):
        TorqueNetwork(model).bind(0, 0, FEWEST_SITES - 1, 12)


def reckoned(path, sizes, tmp_path):
    """Nodes of the optimised graph that reckon with shapes: ONNX Runtime runs them on the CPU."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    for name, size in sizes.items():
        options.add_free_dimension_override_by_name(name, size)
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    graph = onnx.load(tmp_path / "optimised.onnx").graph
    shapes = {name for node in graph.node if node.op_type == "Shape" for name in node.output}
    return [n.op_type for n in graph.node if n.op_type == "Shape" or shapes & set(n.input)]


def test_with_the_sides_known_no_node_reckons_with_shapes(model, tmp_path):
    assert reckoned(model, {}, tmp_path) == ["Shape", "Reshape"]
    assert reckoned(model, {"rows": 6, "columns": 9}, tmp_path) == []


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_nor_does_one_of_a_shipped_network(path, tmp_path):
    assert reckoned(path, {"rows": 24, "columns": 36}, tmp_path) == []


def test_sizes_fix_the_sides_of_a_session(model):
    session = open_session(model.read_bytes(), model, "cpu", {"rows": 6, "columns": 9})
    assert session.get_inputs()[0].shape == [3, 6, 9]


def test_on_cuda_each_lattice_has_a_session(model, monkeypatch):
    opened = []

    def on_the_cpu(content, path, provider, sizes=None):
        opened.append((provider, sizes))
        return open_session(content, path, "cpu", sizes)

    monkeypatch.setattr(torque_module, "open_session", on_the_cpu)
    network = TorqueNetwork(model, provider="cuda")
    for rows in (24, 24, 12, 12):
        spins = spins_of(rows, 24)
        np.testing.assert_array_equal(network(spins), np.float32(0.05) * np.roll(spins, 1, 1))
    square, flat = ({"rows": rows, "columns": 24} for rows in (24, 12))
    assert opened == [("cpu", None), ("cuda", square), ("cuda", flat)]


@pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="there is a GPU"
)
def test_without_cuda_the_network_says_so(model):
    with pytest.raises(ModelError, match="provider cuda: this onnxruntime has no CUDA"):
        TorqueNetwork(model, provider="cuda")
    with pytest.raises(ModelError, match="choose one of cpu, cuda"):
        TorqueNetwork(model, provider="tpu")


def pulsed(path, device):
    parameters = ItinerantFilmParameters(rows=48, columns=36, temperature_K=2.0)
    film = TorqueFilm(TorqueNetwork(path, provider=device), parameters, device=device, seed=1)
    film.set_skyrmion_lattice()
    pulse = Pulse(
        amplitude_T=5, width_ps=0.1, peak_ps=0.2, theta_deg=70, spot=Spot(x=9, y=7, sigma=5)
    )
    return list(film.frames(pulse, [0.0, 0.2, 0.4]))


@pytest.mark.gpu
@pytest.mark.skipif(
    "CUDAExecutionProvider" not in onnxruntime.get_available_providers() or not cuda.is_available(),
    reason="no CUDA GPU that both numba and ONNX Runtime can use on this machine",
)
@pytest.mark.parametrize("path", [None, *SHIPPED], ids=lambda path: getattr(path, "stem", "made"))
def test_a_film_on_the_gpu_moves_as_on_the_cpu(model, path):
    on_cpu, on_cuda = (pulsed(path or model, device) for device in ("cpu", "cuda"))
    np.testing.assert_allclose(on_cuda, on_cpu, atol=1e-4, rtol=0)
    assert np.abs(on_cuda[-1] - on_cuda[0]).max() > 0.1


@pytest.mark.parametrize(("name", "is_gradient"), [("gradient", True), ("equivariant", False)])
def test_the_torque_of_the_gradient_network_is_an_energys(name, is_gradient):
    """What turning one spin adds to another's torque, that one's turning adds to the first's."""
    network = TorqueNetwork(shipped_model(f"itinerant-torque-{name}"))
    spins = random_spins(12, 12, np.random.default_rng(4)).astype(np.float32)
    here, turn = (0, 0), 0.02

    def torque_of_one_as_the_other_turns(one, other):
        """About x of the one at ``here`` and y of the other, or the other way round."""
        about = {one: int(one != here), other: int(other != here)}
        torques = []
        for angle in (turn, -turn):
            axis = np.eye(3, dtype=np.float32)[about[other]]
            turned = spins.copy()
            spin = spins[:, *other]
            along = axis * (axis @ spin)
            turned[:, *other] = (
                along + (spin - along) * np.cos(angle) + np.cross(axis, spin) * np.sin(angle)
            )
            torques.append(np.cross(turned, network(turned), axis=0)[about[one], *one])
        return (torques[0] - torques[1]) / (2 * turn) / network.card.mean_field

    near = [(0, 1), (1, 0), (1, 2), (2, 1), (3, 0)]
    one_way = np.array([torque_of_one_as_the_other_turns(here, there) for there in near])
    back = np.array([torque_of_one_as_the_other_turns(there, here) for there in near])
    assert np.abs(one_way).max() > 0.01
    assert (np.abs(one_way - back).max() < 2e-3) == is_gradient


def test_a_network_that_is_sent_to_a_worker_is_opened_again_from_its_file(monkeypatch, tmp_path):
    path = Path(shutil.copy(shipped_model("itinerant-torque-equivariant"), tmp_path / "here.onnx"))
    monkeypatch.chdir(tmp_path)
    sent = dumps(TorqueNetwork("here.onnx"))
    monkeypatch.chdir("/")
    spins = random_spins(12, 12, np.random.default_rng(0))
    arrived = loads(sent)
    np.testing.assert_array_equal(arrived(spins), TorqueNetwork(path)(spins))
    path.unlink()
    with pytest.raises(ModelError, match=r"here\.onnx"):
        loads(sent)
