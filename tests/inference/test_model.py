"""The classifier's session: what loads, what does not and why, and the state that it carries."""

import json
import time
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from skyctl.errors import ModelError
from skyctl.inference.batch import MovieBatch
from skyctl.inference.model import SHIPPED, MovieClassifier
from skyctl.inference.rules import Rules, Validity, noise_of
from skyctl.inference.session import shipped_model
from skyctl.pulse import Pulse

FEATURES, CLASSES = 6, 3
CLASS_NAMES = ("breathing", "switching", "collapse", "nucleation", "nothing", "mixed")
METADATA = {
    "name": "tiny",
    "version": "1",
    "classes": json.dumps(["a", "b", "c"]),
    "preprocessing": "quantiles",
    "features": "6",
    "hidden": "3",
    "threshold": "0.8",
    "data_sha256": "0",
}


@pytest.fixture
def write(tmp_path, endless_loop):
    """Writes a step: hidden' = features W + hidden, probabilities = softmax(hidden')."""

    def model(*, names=("features", "hidden"), kind=TensorProto.FLOAT, endless=False, **metadata):
        first, second = names
        nodes = [
            *(endless_loop("features", "waited") if endless else []),
            helper.make_node("MatMul", ["waited" if endless else first, "W"], ["drive"]),
            helper.make_node("Add", ["drive", second], ["next_hidden"]),
            helper.make_node("Softmax", ["next_hidden"], ["probabilities"]),
        ]
        dtype = helper.tensor_dtype_to_np_dtype(kind)
        weights = np.linspace(-1, 1, FEATURES * CLASSES, dtype=dtype)
        graph = helper.make_graph(
            nodes,
            "step",
            [
                helper.make_tensor_value_info(first, kind, ["batch", FEATURES]),
                helper.make_tensor_value_info(second, kind, ["batch", CLASSES]),
            ],
            [
                helper.make_tensor_value_info("probabilities", kind, ["batch", CLASSES]),
                helper.make_tensor_value_info("next_hidden", kind, ["batch", CLASSES]),
            ],
            [helper.make_tensor("W", kind, [FEATURES, CLASSES], weights)],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
        values = {k: v for k, v in {**METADATA, **metadata}.items() if v is not None}
        helper.set_model_props(model, values)
        path = tmp_path / "tiny.onnx"
        onnx.save(model, path)
        return path

    return model


def refusal(path, provider="cpu"):
    with pytest.raises(ModelError) as caught:
        MovieClassifier(path, provider)
    return str(caught.value)


def test_a_graph_whose_loop_never_ends_is_refused_in_time(write, monkeypatch):
    monkeypatch.setattr("skyctl.inference.session._TRIAL_S", 0.5)
    began = time.monotonic()
    assert "no answer within 0.5 s" in refusal(write(endless=True))
    assert time.monotonic() - began < 20


def test_a_classifier_by_hand_loads_with_its_card(write):
    card = MovieClassifier(write()).card
    assert card.classes == ("a", "b", "c")
    assert (card.name, card.features, card.hidden, card.threshold) == ("tiny", 6, 3, 0.8)


def test_a_missing_file_is_named(tmp_path):
    message = refusal(tmp_path / "none.onnx")
    assert str(tmp_path / "none.onnx") in message
    assert "No such file" in message
    assert "leave --model out" in message


def test_a_folder_is_no_model(tmp_path):
    assert "Is a directory" in refusal(tmp_path)


@pytest.mark.parametrize("content", [b"", b"this is not ONNX", bytes(1000)])
def test_a_file_that_is_not_onnx_is_named(tmp_path, content):
    path = tmp_path / "bad.onnx"
    path.write_bytes(content)
    message = refusal(path)
    assert str(path) in message
    assert "skyctl train classifier" in message


def test_a_model_cut_short_is_refused(write):
    path = write()
    path.write_bytes(path.read_bytes()[:200])
    assert str(path) in refusal(path)


def test_a_network_with_other_inputs_is_refused_by_their_names(write):
    path = write(names=("x", "state"))
    message = refusal(path)
    assert "['state', 'x']" in message
    assert "['features', 'hidden']" in message
    assert "skyctl train classifier" in message


@pytest.mark.parametrize("name", METADATA)
def test_a_model_that_does_not_describe_itself_is_refused(write, name):
    path = write(**{name: None})
    message = refusal(path)
    assert str(path) in message
    assert name in message
    assert "skyctl train classifier" in message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("classes", "no json"),
        ("classes", '"abc"'),
        ("classes", "[1, 2, 3]"),
        ("classes", "[]"),
        ("classes", "3"),
        ("features", "many"),
        ("threshold", "high"),
        ("preprocessing", "histogram"),
    ],
)
def test_a_model_that_describes_itself_wrongly_is_refused(write, name, value):
    assert "metadata lacks or garbles" in refusal(write(**{name: value}))


@pytest.mark.parametrize(
    ("name", "value", "at_fault"),
    [
        ("features", "7", "features has shape"),
        ("hidden", "4", "hidden has shape"),
        ("classes", '["a", "b"]', "probabilities has shape"),
    ],
)
def test_a_graph_of_other_sizes_than_its_metadata_is_refused(write, name, value, at_fault):
    message = refusal(write(**{name: value}))
    assert at_fault in message
    assert "Export it again" in message


def test_a_graph_that_cannot_take_a_float32_frame_is_refused_when_it_is_loaded(write):
    assert "cannot take one frame" in refusal(write(kind=TensorProto.DOUBLE))


def test_an_unknown_provider_is_refused_with_the_choice():
    assert "choose one of cpu, cuda" in refusal(None, "tpu")


def test_cuda_is_not_replaced_by_the_cpu_silently():
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    message = refusal(None, "cuda")
    assert "no CUDA" in message
    assert "bluesky-skyctl[gpu]" in message
    assert "--provider cpu" in message


def test_an_unknown_shipped_model_is_refused_with_those_there_are():
    with pytest.raises(ModelError, match=f"'nothing'.*{SHIPPED}"):
        shipped_model("nothing")


def test_the_shipped_model_says_what_it_is(model):
    card = model.card
    assert card.classes == CLASS_NAMES
    assert card.threshold == 0.8
    assert card.preprocessing == "cells"
    assert card.valid.interval_ps == (0.1, 20.5)
    assert 0 < card.reliability.wrong < 0.05
    assert 0.5 < card.rules.early < 1
    assert len(card.data_sha256) == len(card.file_sha256) == 64
    assert model.provider == "CPUExecutionProvider"


PULSE = Pulse(width_ps=28)


def verdicts(model, images, interval_ps=5.0):
    times_ps = [interval_ps * index for index in range(len(images))]
    return np.array(list(model.watch(images, times_ps, PULSE)))


def test_probabilities_sum_to_one(model, movie):
    probabilities = verdicts(model, movie)
    assert (probabilities >= 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)


def test_the_same_movie_twice_gives_the_same_verdicts_bit_for_bit(model, movie):
    first, again = verdicts(model, movie), verdicts(model, movie)
    assert first.tobytes() == again.tobytes()


def test_two_sessions_of_one_file_agree_bit_for_bit(model, movie):
    assert verdicts(model, movie).tobytes() == verdicts(MovieClassifier(), movie).tobytes()


def test_a_verdict_depends_on_the_frames_before(model, movie):
    assert not np.array_equal(verdicts(model, movie)[-1], verdicts(model, movie[-1:])[-1])


def test_the_state_is_carried_as_the_graph_says(write):
    model = MovieClassifier(write())
    weights = np.linspace(-1, 1, 18, dtype=np.float32).reshape(6, 3)
    rng = np.random.default_rng(0)
    hidden = np.zeros(3)
    model.begin(-np.ones((2, 3)))
    for _ in range(5):
        sz = np.sort(rng.uniform(-1, 1, 6)).astype(np.float32)
        lower = np.quantile(
            sz, 0.5 - 0.5 * np.cos(np.pi * (np.arange(6) + 0.5) / 6), method="hazen"
        )
        hidden = hidden + lower @ weights
        expected = np.exp(hidden) / np.exp(hidden).sum()
        np.testing.assert_allclose(model.step(sz.reshape(2, 3)), expected, atol=1e-5)


def test_a_film_turned_over_gets_the_same_verdicts(model, movie):
    turned = verdicts(model, [-sz for sz in movie])
    assert turned.tobytes() == verdicts(model, movie).tobytes()


def test_any_lattice_size_is_taken(model, film, disc):
    for side in (20, 64, 150):
        shape = (side, side)
        probabilities = verdicts(model, [film(disc(9, 9, 4, shape), shape=shape)])
        np.testing.assert_allclose(probabilities.sum(), 1, atol=1e-6)


@pytest.mark.parametrize(
    ("probabilities", "label"),
    [((0.9, 0.05, 0.05), "a"), ((0.1, 0.8, 0.1), "b"), ((0.5, 0.3, 0.2), None)],
)
def test_without_rules_a_class_is_named_from_the_threshold_on(write, probabilities, label):
    assert MovieClassifier(write()).label(np.array(probabilities)) == label


RULES = Rules((0.3, 0.6, 0.9), 0.95, 0.8, 0.004, 0.95, 5.0)


@pytest.mark.parametrize(
    ("probabilities", "named"),
    [
        ((0.7, 0.2, 0.1), 0),
        ((0.35, 0.64, 0.01), None),  # both may be true
        ((0.1, 0.3, 0.6), None),  # none may be
        ((0.3, 0.2, 0.5), 0),  # the likeliest is not always the one that may be
    ],
)
def test_rules_name_the_only_class_of_the_set(probabilities, named):
    assert RULES.named(np.array(probabilities)) == named


def test_rules_survive_being_written_down():
    assert Rules.from_json(RULES.as_json()) == RULES


@pytest.mark.parametrize(
    "change", [{"least": (0.3, 1.6)}, {"early": -0.1}, {"novelty": float("nan")}]
)
def test_rules_that_cannot_be_are_refused(change):
    with pytest.raises(ValueError, match="rules"):
        replace(RULES, **change)


def test_many_movies_at_once_get_what_each_gets_alone(model, movie):
    images = [movie, [-sz for sz in movie], [sz[:50] for sz in movie]]
    together = MovieBatch(model, streams=3)
    for stream in range(3):
        together.begin(stream, images[stream][0], PULSE)
    for t in range(len(movie)):
        probabilities = together.step([images[0][t], images[1][t], images[2][t]], 5.0 * t)
    for stream in range(3):
        alone = verdicts(model, images[stream])[-1]
        np.testing.assert_allclose(probabilities[stream], alone, atol=1e-5)
        assert together.novelty[stream] == pytest.approx(model.novelty, rel=1e-4)


def test_a_stream_without_a_frame_stays_where_it_is(model, movie):
    together = MovieBatch(model, streams=2)
    with pytest.raises(ValueError, match="stream 1: a frame before `begin`"):
        together.step([None, movie[0]])
    for stream in range(2):
        together.begin(stream, movie[0], PULSE)
    for t, sz in enumerate(movie[:4]):
        together.step([sz, None], 5.0 * t)
    probabilities = together.step([None, movie[0]], 0.0)
    np.testing.assert_allclose(probabilities[1], verdicts(model, movie[:1])[0], atol=1e-5)
    assert np.isnan(probabilities[0]).all()
    again = together.step([movie[4], None], 20.0)
    np.testing.assert_allclose(again[0], verdicts(model, movie[:5])[-1], atol=1e-5)


@pytest.mark.gpu
def test_a_gpu_gives_what_the_cpu_gives(model, movie):
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("needs an NVIDIA GPU and an onnxruntime with CUDA")
    batch = MovieBatch(MovieClassifier(provider="cuda"), streams=8)
    for stream in range(8):
        batch.begin(stream, movie[0], PULSE)
    for t, sz in enumerate(movie):
        probabilities = batch.step([sz] * 8, 5.0 * t)
    expected = np.tile(verdicts(model, movie)[-1], (8, 1))
    np.testing.assert_allclose(probabilities, expected, atol=1e-3)


VALID = Validity(interval_ps=(0.1, 20.5), first_after_peak_ps=0.0, noise=1.7, pixels=20)


@pytest.mark.parametrize(
    ("images", "times_ps", "why"),
    [
        ([(100, 100)] * 3, [0, 25, 50], "frames 25 ps apart"),
        ([(100, 100)] * 2, [60, 65], "the first frame is 20 ps after the pulse's peak"),
        ([(15, 15)] * 2, [0, 5], "frames of 15 x 15 pixels"),
    ],
)
def test_a_movie_that_the_model_is_not_made_for_is_not_named(model, images, times_ps, why):
    frames = [np.full(shape, -0.97, np.float32) for shape in images]
    for probabilities in model.watch(frames, times_ps, PULSE):
        label = model.label(probabilities)
    assert why in model.outside
    assert label is None
    assert not model.may_stop(probabilities, 50.0)
    assert list(model.watch([-np.ones((30, 30), np.float32)], [0.0], PULSE))
    assert model.outside == ""


def test_too_noisy_a_camera_is_outside():
    rng = np.random.default_rng(0)
    film = np.full((100, 100), -0.97)
    assert VALID.refuses_first(film + rng.normal(0, 1.5, film.shape), -40) == ""
    assert "pixel noise of 2.5" in VALID.refuses_first(film + rng.normal(0, 2.5, film.shape), -40)


@pytest.mark.parametrize("sigma", [0.0, 0.1, 1.0])
def test_noise_is_told_from_a_film(film, disc, sigma):
    rng = np.random.default_rng(1)
    image = film(disc(50, 50, 5)) + rng.normal(0, sigma, (100, 100))
    assert noise_of(image) == pytest.approx(sigma, rel=0.05, abs=0.01)
    large = np.tile(image, (4, 4)) + rng.normal(
        0, sigma, (400, 400)
    )  # of which some rows are asked
    assert noise_of(large) == pytest.approx(np.sqrt(2) * sigma, rel=0.05, abs=0.01)


def test_what_a_model_is_valid_for_survives_being_written_down():
    assert Validity.from_json(VALID.as_json()) == VALID


def test_frames_that_come_too_soon_are_passed_over(model, movie):
    """A frame a picosecond, of a film at rest between its frames, is a frame every four."""
    often = [movie[index // 4] for index in range(4 * len(movie))]
    fast = np.array(list(model.watch(often, range(len(often)), PULSE)))
    slow = verdicts(model, movie, interval_ps=4.0)
    assert fast[::4].tobytes() == slow.tobytes()
    assert fast[1::4].tobytes() == slow.tobytes()
