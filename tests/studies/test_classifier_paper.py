"""The reproduction from end to end on movies that are made up, and its judge on made-up models."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from skyctl.cli import app
from skyctl.errors import ModelError
from skyctl.inference.model import MovieClassifier
from skyctl.models.filmed_movie import FilmedMovie
from skyctl.models.movie_set import MovieSet
from skyctl.process import TRANSITIONS
from skyctl.pulse import Pulse
from skyctl.simulators.lattice.files import StateError
from skyctl.simulators.lattice.film import FilmParameters
from skyctl.simulators.lattice.movies import MovieSpec
from skyctl.studies import classifier_paper_movies as library
from skyctl.studies.classifier_judged import ENDS_PS, Judgement, judge
from skyctl.studies.classifier_paper import PAPER, reached, reproduce_classifier, targets
from skyctl.studies.classifier_paper_movies import (
    PRESETS,
    ReproduceError,
    condition_sets,
    diagram_shots,
    example_shots,
    selection_shots,
    training_shots,
    width_shots,
)
from skyctl.studies.classifier_paper_network import train_paper_network
from skyctl.studies.process_map import PAPER_PROCESSES, Grid

B, S, C = PAPER_PROCESSES
TINY = replace(
    PRESETS["quick"], diagram=Grid(6), selection=Grid(6), conditions=Grid(6), warm=Grid(6),
    movies_per_class=10, angles_deg=(30,), peaks_ps=(60,), temperatures_K=(3,), widths_stride=11,
    side=20,
)  # fmt: skip


def happens(shot: MovieSpec) -> str:
    """What a made-up pulse does: by its width, in three areas; low damping is mixed."""
    assert shot.pulse is not None
    if shot.parameters.damping < 0.1:
        return "mixed"
    return B if shot.pulse.width_ps < 17 else S if shot.pulse.width_ps < 35 else C


def film(shot: MovieSpec) -> FilmedMovie:
    """A made-up movie: at the peak the film turns over or not, a disc stays or not."""
    process = happens(shot)
    assert shot.pulse is not None
    y, x = np.mgrid[:20, :20] - 9.5
    disc = np.where(np.hypot(x, y) < 3, -1.0, 1.0)
    after = {B: -disc, S: disc, C: np.ones_like(disc), "mixed": np.where(x < 0, -1.0, 1.0)}
    noise = np.random.default_rng([int(1e6 * shot.parameters.damping), shot.seed])
    frames = []
    for time_ps in shot.times_ps:
        sz = after[process] if time_ps > shot.pulse.peak_ps else -disc
        frames.append(sz * noise.uniform(0.9, 1, sz.shape))
    sz = np.round(32767 * np.array(frames)).astype(np.int16)
    return FilmedMovie(sz, np.zeros(len(sz)), np.zeros((len(sz), 3)), process)


def fill(path: Path, shots: list[MovieSpec], most: int | None = None) -> np.ndarray:
    with MovieSet.plan(path, shots) as movies:
        for row in movies.missing()[:most]:
            movies.write(row, film(shots[row]))
        return movies.labels


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Torch's threads wait for each other on a machine that is busy with other tests."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The movie sets of TINY, made up: nothing is simulated."""
    folder = tmp_path_factory.mktemp("data")
    labels = fill(folder / "selection.h5", selection_shots(TINY))
    fill(folder / "training.h5", training_shots(TINY, labels, seed=5))
    fill(folder / "diagram.h5", diagram_shots(TINY))
    for name, _, shots in condition_sets(TINY, seed=5):
        fill(folder / f"{name}.h5", shots)
    fill(folder / "examples.h5", example_shots(TINY))
    fill(folder / "widths.h5", width_shots(TINY))
    return folder


@pytest.fixture(scope="module")
def done(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out")
    seen: dict[str, list[int]] = {}

    def progress(what, steps):
        counts = seen.setdefault(what, [steps, 0])

        def advance():
            counts[1] += 1

        return advance

    result = reproduce_classifier(TINY, folder, data=data, seed=5, progress=progress)
    return folder, result, seen


def test_the_result_has_a_key_for_each_target(done):
    folder, result, _ = done
    assert json.loads((folder / "result.json").read_text()) == json.loads(json.dumps(result))
    assert result["targets"].keys() == targets(TINY).keys()
    for found in result["targets"].values():
        assert found["reached"] == (found["value"] >= found["target"])
        assert found["reached_165_ps"] == (found["value_165_ps"] >= found["target"])


def test_what_can_be_learned_is_learned_and_named(done):
    _, result, _ = done
    assert result["training"]["movies"] == 27
    assert result["training"]["held_out"] == 3
    assert all(found["value_165_ps"] == 1 for found in result["targets"].values())
    table = result["conditions"][PAPER]["diagram"]["105_ps"]
    assert Grid(6).shape == (7, 7)
    assert (table["cells"], table["mixed_cells"]) == (6 * 7, 7)
    assert table["inside_cells"] == 5 * 3, "one column of each area, two rows above the mixed"
    assert result["confusion"][PAPER]["105_ps"][S] == {S: 6 * 3}


def test_the_network_is_written_with_its_card_and_names_what_it_is(done):
    folder, result, _ = done
    model = MovieClassifier(folder / "paper.onnx")
    assert model.card.classes == PAPER_PROCESSES
    assert (model.card.name, model.card.preprocessing) == ("paper", "sorted")
    assert (model.card.features, model.card.hidden, model.card.threshold) == (400, 512, 0.8)
    card = (folder / "paper.md").read_text()
    assert model.card.file_sha256 in card
    assert model.card.data_sha256 in card
    assert result["training"]["parity"] < 1e-5


def test_pictures_are_drawn(done):
    folder, _, _ = done
    for name in ("diagram", "limits", "steps", "warm", "widths"):
        assert (folder / f"classifier-{name}.png").read_bytes().startswith(b"\x89PNG")


def test_progress_tells_all_steps(done):
    _, _, seen = done
    assert all(steps == told for steps, told in seen.values())
    assert {"training", "paper on diagram", "paper on interval-5ps"} <= seen.keys()
    assert not [what for what in seen if "simulating" in what], "all movies were there"


def test_it_goes_on_with_the_movies_that_are_there_and_judges_others_beside(
    done, data, tmp_path, monkeypatch
):
    folder, result, _ = done
    path = data / "widths.h5"
    path.unlink()
    fill(path, width_shots(TINY), most=3)
    simulated = []

    def counted(movies, **_: Any):
        for row in movies.missing():
            simulated.append(row)
            movies.write(row, film(movies.shot(row)))

    monkeypatch.setattr(library, "fill", counted)
    other = tmp_path / "other.onnx"
    renamed(folder / "paper.onnx", other, "other")
    again = reproduce_classifier(TINY, tmp_path, data=data, others=[other], seed=5)
    assert simulated == list(range(3, len(width_shots(TINY))))
    assert again["targets"] == result["targets"]
    assert again["targets_of_others"] == {"other": result["targets"]}
    assert again["models"]["paper"] == result["models"]["paper"], "the same to the last bit"


def renamed(source: Path, target: Path, name: str) -> None:
    import onnx

    model = onnx.load(str(source))
    for entry in model.metadata_props:
        if entry.key == "name":
            entry.value = name
    onnx.save(model, str(target))


def test_a_model_that_cannot_be_judged_is_said_before_anything_is_simulated(tmp_path, done):
    folder, _, _ = done
    with pytest.raises(ModelError, match=r"nowhere\.onnx"):
        reproduce_classifier(TINY, tmp_path / "out", others=[tmp_path / "nowhere.onnx"])
    with pytest.raises(ReproduceError, match="its name 'paper' is taken"):
        reproduce_classifier(TINY, tmp_path / "out", others=[folder / "paper.onnx"])
    assert not (tmp_path / "out").exists()


def test_movies_of_another_seed_are_refused(data, tmp_path):
    with pytest.raises(StateError, match=r"training\.h5: holds other movies"):
        reproduce_classifier(TINY, tmp_path, data=data, seed=6)


def test_the_command_explains_what_is_wrong(tmp_path):
    def invoke(*args):
        options = ("--out", str(tmp_path / "out"), *args)
        return CliRunner().invoke(app, ["reproduce", "classifier", *options])

    assert invoke("--preset", "huge").exit_code == 2
    missing = invoke("--model", "nowhere.onnx")
    assert missing.exit_code == 1
    assert "nowhere.onnx: cannot be read" in missing.stderr
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "selection.h5").write_text("not movies")
    foreign = invoke("--data", str(tmp_path / "data"))
    assert foreign.exit_code == 1
    assert "selection.h5" in foreign.stderr


class MadeUpModel:
    """Names a movie by the level of its last frame, and remembers what it was shown."""

    def __init__(self):
        self.card = SimpleNamespace(classes=PAPER_PROCESSES)
        self.shown: list[list[float]] = []
        self.is_novel, self.transitions = False, np.zeros(TRANSITIONS)

    def watch(self, images, _times_ps, _pulse):
        self.shown.append([])
        for sz in images:
            level = float(sz.mean())
            self.shown[-1].append(round(level, 2))
            yield np.eye(3)[int(level > 0.3) + int(level > 0.6)] * 0.9 + 0.1 / 3

    def label(self, probabilities):
        return None if self.shown[-1][-1] > 0.8 else PAPER_PROCESSES[int(np.argmax(probabilities))]


def level_movie(
    path: Path, levels: list[float], times_ps: list[float], peak_ps: float = 40
) -> MovieSet:
    """A set of one movie, each frame of it uniform."""
    shot = MovieSpec(
        FilmParameters(rows=4, columns=4), times_ps, Pulse(width_ps=8, peak_ps=peak_ps)
    )
    movies = MovieSet.plan(path, [shot])
    sz = np.round(32767 * np.array(levels)[:, None, None] * np.ones((4, 4))).astype(np.int16)
    movies.write(0, FilmedMovie(sz, np.zeros(len(sz)), np.zeros((len(sz), 3)), B))
    return movies


@pytest.mark.parametrize(("interval_ps", "at_105_ps"), [(15.0, S), (35.0, S), (10.0, B)])
def test_a_movie_is_named_by_what_is_seen_until_its_end_and_nothing_later(
    tmp_path, interval_ps, at_105_ps
):
    times_ps = [5.0 * k for k in range(34)]
    levels = [0.0 if t < 105 else 0.4 if t < 140 else 0.7 for t in times_ps]
    model = MadeUpModel()
    with level_movie(tmp_path / "m.h5", levels, times_ps) as movies:
        found = judge(cast(Any, model), movies, interval_ps=interval_ps)
    due = np.arange(0, 165.1, interval_ps)
    assert model.shown == [[levels[int(t // 5)] for t in due]]
    assert found.named[105][0] == found.likeliest[105][0] == at_105_ps
    assert found.named[165][0] == C


@pytest.mark.parametrize(("peak_ps", "at_105_ps"), [(40, B), (55, S), (54, B)])
def test_a_movie_ends_as_much_later_as_its_pulse_peaks(tmp_path, peak_ps, at_105_ps):
    times_ps = [15.0 * k for k in range(13)]
    levels = [0.0 if t < 120 else 0.4 if t < 180 else 0.7 for t in times_ps]
    with level_movie(tmp_path / "m.h5", levels, times_ps, peak_ps) as movies:
        found = judge(cast(Any, MadeUpModel()), movies)
    assert found.named[105].tolist() == [at_105_ps]
    assert found.named[165].tolist() == [C if peak_ps == 55 else S]


def test_a_share_of_no_cells_is_unknown_and_no_target_reached():
    grid = Grid(6)
    labels = np.full(49, "mixed", dtype="<U16")
    named = dict.fromkeys(ENDS_PS, labels)
    table = Judgement(labels, named, named).table(grid)
    assert table["105_ps"]["whole"] is table["165_ps"]["inside"] is None
    found = reached(TINY, {name: table for t in targets(TINY).values() for name in t.conditions})
    assert not any(t["reached"] or t["reached_165_ps"] for t in found.values())
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_a_target_is_reached_where_its_worst_condition_reaches_it():
    def table(share):
        return {end: {"whole": share, "inside": share} for end in ("105_ps", "165_ps")}

    names = {name for target in targets(TINY).values() for name in target.conditions}
    tables = {name: table(1.0) for name in names} | {"interval-10ps": table(0.969)}
    found = reached(TINY, tables)
    assert [key for key, t in found.items() if not t["reached"]] == ["frame_interval_5_to_15_ps"]
    assert found["frame_interval_5_to_15_ps"]["value"] == 0.969


def test_an_abstention_is_no_name_but_has_a_likeliest(tmp_path):
    with level_movie(tmp_path / "m.h5", [0.0, 0.9], [0.0, 105.0]) as movies:
        found = judge(cast(Any, MadeUpModel()), movies, interval_ps=105.0)
    assert found.named[105].tolist() == [""]
    assert found.likeliest[105].tolist() == [C]


def test_a_movie_without_the_frames_that_are_due_is_refused(tmp_path):
    with (
        level_movie(tmp_path / "m.h5", [0.0, 0.0, 0.0], [0.0, 10.0, 30.0]) as movies,
        pytest.raises(ValueError, match="not one every 15 ps"),
    ):
        judge(cast(Any, MadeUpModel()), movies, interval_ps=15.0)


def sorted_movies(count: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Movies of 400 sorted sites: down; up but for 3 sites; up. Only the last frames tell."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 3
    movies = -rng.uniform(0.97, 1, (count, 4, 400))
    movies[labels > 0, 2:] *= -1
    movies[labels == 1, 2:, :3] *= -1
    return np.sort(movies, axis=2).astype(np.float32), labels


def test_the_network_learns_from_a_few_sites_and_is_the_papers_afterwards():
    movies, labels = sorted_movies()
    epochs = []
    network, report = train_paper_network(
        movies, labels, hidden=64, seed=1, progress=lambda: epochs.append(1)
    )
    assert (report.movies, report.held_out, report.epochs) == (270, 30, len(epochs))
    assert report.accuracy == report.confident == 1
    assert network.input.weight.shape == (64, 400)
    with torch.no_grad():
        last = network(torch.from_numpy(movies))[:, -1]
    assert (last.argmax(1).numpy() == labels).all(), "on sorted S_z itself"


def test_training_is_the_same_for_a_seed():
    movies, labels = sorted_movies()
    (a, _), (b, _) = (train_paper_network(movies, labels, hidden=8, epochs=2) for _ in range(2))
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


def test_too_few_movies_are_refused():
    movies, labels = sorted_movies(12)
    with pytest.raises(ValueError, match=r"12 training movies.*20 or more"):
        train_paper_network(movies, labels)
