"""Torque networks: their symmetries, their training, and the sets they learn from."""

import numpy as np
import pytest
import torch

from skyctl.models.torque import (
    PAPER_WIDTHS,
    EquivariantNetwork,
    GradientNetwork,
    HexagonConv,
    PaperNetwork,
    across,
    factors,
    filtered,
    wrap,
)
from skyctl.models.torque_data import (
    TorquePlan,
    TorqueSet,
    TorqueStates,
    fill_torque_set,
    label,
    simulate_run,
)
from skyctl.models.torque_training import (
    angles_deg,
    lattice_symmetry,
    predict,
    random_rotation,
    relative_loss,
    score,
    states_of_a_pass,
    train_torque,
)
from skyctl.simulators.itinerant.electrons import (
    FOUR_TWISTS,
    HALF_NEIGHBOURS,
    Electrons,
    perpendicular,
    random_spins,
)
from skyctl.simulators.lattice.files import StateError

TINY = TorquePlan(side=12, runs=4, steps=1, electrons=Electrons(temperature=0.1))


def some_spins(films=2, side=12, seed=0):
    rng = np.random.default_rng(seed)
    spins = np.stack([random_spins(side, side, rng) for _ in range(films)])
    return torch.from_numpy(spins.astype(np.float32))


def small_network(kind=EquivariantNetwork):
    torch.manual_seed(0)
    return kind(features=3, reaches=(2, 2, 2), products=4, hidden=8, direct=4)


@pytest.mark.parametrize("kind", [EquivariantNetwork, GradientNetwork])
def test_an_equivariant_network_has_the_electrons_symmetries(kind):
    network, spins = small_network(kind), some_spins()
    with torch.no_grad():
        field = network(spins)
        size = field.abs().max()
        q = torch.from_numpy(random_rotation(np.random.default_rng(1)).astype(np.float32))
        turned = torch.einsum("ab,nbij->naij", q, spins)
        assert (network(turned) - torch.einsum("ab,nbij->naij", q, field)).abs().max() < 1e-5 * size
        assert (network(-spins) + field).abs().max() < 1e-5 * size
        for number in range(12):
            moved = torch.from_numpy(lattice_symmetry(spins.numpy(), number))
            expected = torch.from_numpy(lattice_symmetry(field.numpy(), number))
            assert (network(moved) - expected).abs().max() < 1e-5 * size
        shifted = network(spins.roll((3, 5), (2, 3)))
        assert (shifted - field.roll((3, 5), (2, 3))).abs().max() < 1e-5 * size
        assert (spins * field).sum(1).abs().max() < 1e-5 * size


def test_the_equivariant_network_is_not_merely_linear():
    network, spins = small_network(), some_spins()
    with torch.no_grad():
        filters = network.direct(spins.reshape(-1, 1, 12, 12)).reshape(spins.shape)
        direct = filters - spins * (spins * filters).sum(1, keepdim=True)
        assert (network(spins) - direct).norm() > 0.1 * direct.norm()


def test_the_torque_of_a_gradient_network_is_the_gradient_of_its_energy():
    network, spins = small_network(GradientNetwork), some_spins().requires_grad_()
    (slope,) = torch.autograd.grad(network.energy(spins).sum(), spins)
    field = network(spins)
    torch.testing.assert_close(field, across(spins, -slope), atol=1e-5, rtol=1e-4)
    assert field.norm() > 0.1 * slope.norm()


@pytest.mark.parametrize(("kind", "symmetric"), [(EquivariantNetwork, 0), (GradientNetwork, 1)])
def test_only_a_gradient_has_a_symmetric_slope(kind, symmetric):
    network, spins = small_network(kind), some_spins(1)
    u, v = (across(spins, torch.randn(spins.shape)) for _ in range(2))
    _, along_u = torch.autograd.functional.jvp(network, spins, u)
    _, along_v = torch.autograd.functional.jvp(network, spins, v)
    one, other = float((along_u * v).sum()), float((along_v * u).sum())
    assert (one == pytest.approx(other, rel=1e-3)) == symmetric


def test_networks_take_a_larger_lattice_and_look_no_farther_than_their_filters():
    network, spins = small_network(), some_spins(1, 24)
    with torch.no_grad():
        field, moved = network(spins), spins.clone()
        moved[:, :, 12, 12] *= -1
        changed = (network(moved) - field).abs().amax(1)[0] > 1e-7
    rows, columns = np.nonzero(changed.numpy())
    down, right = rows - 12, columns - 12
    distance = np.max(np.abs([down, right, down + right]), axis=0)
    assert distance.max() == 2 + 2 + 2


def test_a_filters_weights_are_learned_in_units_that_fall_with_distance():
    layer = HexagonConv((1, 1), (1, 1), 4)
    torch.nn.init.ones_(layer.free)
    filters = layer.filters()[0, 0].detach().numpy()
    e_fold = filters[4, 4] / filters[4, 7]  # three sites along a row
    assert e_fold == pytest.approx(np.e, rel=1e-5)
    assert filters[7, 7] == 0  # outside the hexagon
    assert np.square(filters).sum() == pytest.approx(1 + 3 * 4 * 5, rel=1e-5)


def test_the_papers_network_is_the_papers():
    network = PaperNetwork(PAPER_WIDTHS)
    convolutions = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    assert sum(c.kernel_size == (5, 5) for c in convolutions) == 4 * 2 + 2
    assert network.blocks[-1].second.out_channels == 512
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in network.modules())
    reduced, spins = PaperNetwork((4, 8)), some_spins(1)
    with torch.no_grad():
        shifted = reduced(spins.roll((3, 5), (2, 3)))
        torch.testing.assert_close(shifted, reduced(spins).roll((3, 5), (2, 3)))


def test_the_equivariant_network_has_a_tenth_of_the_parameters():
    counts = [
        sum(p.numel() for p in n.parameters()) for n in (EquivariantNetwork(), PaperNetwork())
    ]
    assert counts[0] * 10 <= counts[1]


def test_wrapping_is_periodic():
    x = torch.arange(20.0).reshape(1, 1, 4, 5)
    expected = np.pad(x.numpy(), ((0, 0), (0, 0), (2, 2), (2, 2)), mode="wrap")
    np.testing.assert_array_equal(wrap(x, 2).numpy(), expected)


def test_lattice_symmetries_are_twelve_and_keep_neighbours():
    x = np.zeros((12, 12))
    x[0, 0] = 1
    for row, column in HALF_NEIGHBOURS:
        x[row, column] = x[-row, -column] = 2
    x[2, 3] = 3
    images = {lattice_symmetry(x, number).tobytes() for number in range(12)}
    assert len(images) == 12
    for number in range(12):
        image = lattice_symmetry(x, number)
        assert image[0, 0] == 1
        assert all(image[r, c] == 2 == image[-r, -c] for r, c in HALF_NEIGHBOURS)
    with pytest.raises(ValueError, match="equal sides"):
        lattice_symmetry(np.zeros((3, 12, 18)), 1)


def test_the_truth_has_the_symmetries_that_training_uses():
    spins = some_spins(1)[0].numpy().astype(np.float64)
    field = label(TINY.electrons, spins)
    for number in (1, 6, 8):
        moved = label(TINY.electrons, lattice_symmetry(spins, number))
        np.testing.assert_allclose(moved, lattice_symmetry(field, number), atol=2e-6)


def test_the_loss_is_the_papers():
    true = torch.tensor([0.0, 0.0, 2.0]).reshape(1, 3, 1, 1)
    predicted = torch.tensor([1.0, -1.0, 2.5]).reshape(1, 3, 1, 1)
    assert float(relative_loss(predicted, true)) == pytest.approx(2.5 / 2)


def test_scores_and_angles():
    true = np.zeros((1, 3, 1, 4))
    true[:, 0] = 1
    predicted = np.zeros_like(true)
    degrees = np.array([0, 9, 20, 40])
    predicted[0, 0, 0], predicted[0, 1, 0] = (
        np.cos(np.radians(degrees)),
        np.sin(np.radians(degrees)),
    )
    np.testing.assert_allclose(angles_deg(predicted, true)[0, 0], degrees, atol=1e-6)
    found = score(predicted, true)
    assert (found.within_10_deg, found.beyond_30_deg, found.sites) == (0.5, 0.25, 4)
    assert found.error == pytest.approx(np.mean(2 * np.sin(np.radians(degrees) / 2)))


def exchange_states(films=6):
    """States whose field is what nearest neighbours exert: easy to learn."""
    spins = some_spins(films).numpy()
    field = sum(
        np.roll(spins, (sign * r, sign * c), (2, 3)) for r, c in HALF_NEIGHBOURS for sign in (1, -1)
    )
    field = perpendicular(spins, field)
    return spins, field / np.linalg.norm(field, axis=1).mean()


def test_states_near_rest_come_seldom_and_each_pass_is_as_long():
    strengths = np.array([1.0, 2.0, 0.1, 3.0, 0.5] * 20)
    share = strengths**2 / np.sum(strengths**2) * len(strengths)
    rng = np.random.default_rng(0)
    passes = [states_of_a_pass(strengths, rng) for _ in range(200)]
    times = np.array([np.bincount(one, minlength=len(strengths)) for one in passes])
    assert {len(one) for one in passes} == {len(strengths)}
    assert np.abs(times - share).max() < 1
    assert np.abs(times.mean(0) - share).max() < 0.15
    assert np.array_equal(np.sort(states_of_a_pass(np.ones(7), rng)), np.arange(7))


def test_training_learns_what_can_be_learned():
    spins, field = exchange_states()
    network = small_network()
    train_torque(network, spins[:4], field[:4], steps=150, batch=2, augment=False)
    assert score(predict(network, spins[4:]), field[4:]).error < 0.1


def test_augmentation_trains_and_repeats():
    spins, field = exchange_states(3)

    def losses():
        torch.manual_seed(0)
        network, seen = PaperNetwork((4, 8)), []
        train_torque(
            network, spins, field, steps=12, batch=2, progress=lambda _, loss: seen.append(loss)
        )
        return seen

    first = losses()
    assert first == losses()
    assert np.mean(first[-4:]) < np.mean(first[:4])
    with pytest.raises(ValueError, match="0 steps"):
        train_torque(PaperNetwork((4, 8)), spins, field, steps=0)
    for bad in (0.0, np.nan):
        with pytest.raises(ValueError, match="not numbers, or all zero"):
            train_torque(PaperNetwork((4, 8)), spins, field * bad, steps=2)


def test_a_training_goes_on_to_the_weights_it_would_have_had(tmp_path, monkeypatch):
    monkeypatch.setattr("skyctl.models.torque_training._KEPT_EVERY", 2)
    spins, field = exchange_states(3)
    kept = tmp_path / "made.training"

    class Stopped(Exception):
        pass

    def stop(step, _):
        if step == 4:
            raise Stopped

    def trained(**how):
        torch.manual_seed(0)
        network = PaperNetwork((2, 3))
        train_torque(network, spins, field, steps=7, batch=2, **how)
        return network.state_dict()

    whole = trained()
    with pytest.raises(Stopped):
        trained(kept=kept, progress=stop)
    steps = []
    on = trained(kept=kept, progress=lambda step, _: steps.append(step))
    assert steps == [4, 5, 6]
    assert all(torch.equal(on[name], whole[name]) for name in whole)


def test_training_in_bfloat16_learns_as_well_but_for_rounding():
    spins, field = exchange_states()
    losses = {}
    for precision in ("single", "bfloat16"):
        seen: list[float] = []
        network = small_network()
        train_torque(
            network, spins, field, steps=12, batch=2, augment=False, precision=precision,
            progress=lambda _, loss, seen=seen: seen.append(loss),
        )  # fmt: skip
        assert all(p.dtype == torch.float32 for p in network.parameters())
        losses[precision] = np.array(seen)
    assert not np.array_equal(losses["single"], losses["bfloat16"])
    np.testing.assert_allclose(losses["bfloat16"], losses["single"], rtol=0.05)


@pytest.mark.parametrize("inputs", [1, 3])
def test_the_factors_of_filters_give_what_the_filters_give(inputs):
    x, filters = torch.randn(2, inputs, 9, 12), torch.randn(1, inputs, 5, 5)
    whole = torch.nn.functional.conv2d(wrap(x, 2), filters)
    torch.testing.assert_close(filtered(x, 2, factors(filters)), whole)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU that torch can use here")
def test_training_on_a_gpu_goes_as_on_the_cpu():
    spins = some_spins(4).numpy()
    field = np.roll(spins, 1, -1)
    losses, fields = [], []
    for device in ("cpu", "cuda"):
        network = small_network().to(device)
        seen: list[float] = []
        train_torque(
            network, spins, field, steps=5, progress=lambda _, loss, seen=seen: seen.append(loss)
        )
        losses.append(seen)
        fields.append(predict(network, spins))
    np.testing.assert_allclose(losses[1], losses[0], rtol=0.02)  # TensorFloat-32, and it adds up
    np.testing.assert_allclose(fields[1], fields[0], atol=0.05 * np.abs(fields[0]).max())


def test_a_set_goes_on_where_it_was_stopped(tmp_path):
    path = tmp_path / "torque.h5"

    class Stopped(Exception):
        pass

    def stop():
        raise Stopped

    with TorqueSet(path, TINY) as states:
        with pytest.raises(Stopped):
            fill_torque_set(states, progress=stop)
        with pytest.raises(ValueError, match="3 runs are missing"):
            states.split()
    counted = []
    with TorqueSet(path, TINY) as states:
        assert states.done.tolist() == [True, False, False, False]
        fill_torque_set(states, progress=lambda: counted.append(1))
        training, held_out = states.split()
    assert len(counted) == 3
    both = TorqueStates.joined([training, held_out])
    assert both.spins.shape == both.fields.shape == (8, 3, 12, 12)
    assert (both.kinds == "lattice").sum() == (both.kinds == "quench").sum() == 4
    np.testing.assert_allclose(np.linalg.norm(both.spins, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose((both.spins * both.fields).sum(1), 0, atol=1e-6)
    again = simulate_run(TINY, 2)
    assert any(np.array_equal(again.spins[0], state) for state in both.spins)
    with pytest.raises(StateError, match="other options"):
        TorqueSet(path, TorquePlan(side=12, runs=4, steps=2, electrons=TINY.electrons))


def test_held_out_runs_are_three_in_ten_of_either_kind(tmp_path):
    plan = TorquePlan(side=12, runs=20, steps=1)
    with TorqueSet(tmp_path / "torque.h5", plan) as states:
        states.done[:] = True
        training, held_out = states.split()
    for part, count in ((training, 7), (held_out, 3)):
        for kind in ("lattice", "quench"):
            assert len(part.of_kind(kind).spins) == count * plan.states


def test_no_more_than_fourteen_runs_of_a_kind_are_held_out(tmp_path):
    with TorqueSet(tmp_path / "torque.h5", TorquePlan(side=12, runs=120, steps=1)) as states:
        states.done[:] = True
        training, held_out = states.split()
    assert [len(held_out.of_kind(kind).spins) for kind in ("lattice", "quench")] == [28, 28]
    assert len(training.spins) == (120 - 28) * 2


def test_a_label_of_one_boundary_is_one_of_four_whose_mean_is_the_label():
    plan = TorquePlan(
        side=12, runs=2, steps=8, driver="made up", longest_t0=40, electrons=TINY.electrons,
        boundaries=1,
    )  # fmt: skip
    run = simulate_run(plan, 1, lambda spins: np.roll(spins, 1, axis=2) * 0.1)
    drawn = []
    for spins, field in zip(run.spins.astype(np.float64), run.fields, strict=True):
        alone = [label(plan.electrons, spins, [twist]) for twist in FOUR_TWISTS]
        np.testing.assert_allclose(np.mean(alone, 0), label(plan.electrons, spins), atol=1e-6)
        off = [np.abs(field - one).max() for one in alone]
        assert min(off) < 1e-5
        drawn.append(int(np.argmin(off)))
    assert len(set(drawn)) > 1


def test_a_networks_own_states_are_labelled_by_the_truth(tmp_path):
    plan = TorquePlan(
        side=12, runs=2, steps=2, driver="made up", longest_t0=20, electrons=TINY.electrons
    )

    def driver(spins):
        return np.roll(spins, 1, axis=2) * 0.1

    with TorqueSet(tmp_path / "torque.h5", plan) as states:
        with pytest.raises(ValueError, match="give its driver"):
            fill_torque_set(states)
        fill_torque_set(states, driver=driver)
    run = simulate_run(plan, 1, driver)
    assert (np.diff(run.times_t0) >= 0).all()
    assert (run.times_t0 > 0).all()
    assert (run.times_t0 <= 21).all()
    np.testing.assert_allclose(
        run.fields[1], label(plan.electrons, run.spins[1].astype(np.float64)), atol=1e-5
    )


def test_impossible_plans_are_refused():
    with pytest.raises(ValueError, match="2 runs or more"):
        TorquePlan(runs=1)
    with pytest.raises(ValueError, match="more than 0"):
        TorquePlan(longest_t0=0)
    with pytest.raises(ValueError, match="driven by truth, labelled with 1 boundaries: give 4"):
        TorquePlan(boundaries=1)
    with pytest.raises(ValueError, match="5 boundaries: give 1 to 4"):
        TorquePlan(driver="made up", boundaries=5)
