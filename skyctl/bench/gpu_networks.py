"""Networks on a GPU beside the CPU, in one run: epochs of training, and the film they move."""

import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any, Literal

import numpy as np
import onnxruntime
import torch

from skyctl.bench.machine import median_rate
from skyctl.children import CHILDREN
from skyctl.inference.model import shipped_model
from skyctl.inference.torque_network import SHIPPED_TORQUE, TorqueNetwork
from skyctl.models.lives import Movies, live
from skyctl.models.torque_on_torch import TorqueOnTorch
from skyctl.models.torque_recipe import LEARNING_RATES, TorqueRecipe
from skyctl.models.torque_training import train_torque
from skyctl.models.training import Settings, train_classifier
from skyctl.pulse import Pulse
from skyctl.simulators.itinerant.electrons import random_spins
from skyctl.simulators.itinerant.film import ItinerantFilmParameters, TorqueFilm

Device = Literal["cpu", "cuda"]
_FARTHEST = 1e-3


def classifier(device: Device = "cuda", lives: int = 24) -> dict[str, Any]:
    """Seconds that an epoch of the movie classifier takes on each device.

    lives : that are simulated for it, on all cores
    """
    begin = time.perf_counter()
    seen = _simulated(lives)
    took_s = time.perf_counter() - begin
    epochs = _on_devices(partial(classifier_epoch, seen), device)
    return {"movies": len(seen), "simulated_s": took_s, **epochs}


def _simulated(lives: int) -> Movies:
    with ProcessPoolExecutor(mp_context=CHILDREN) as pool:
        made = list(pool.map(partial(live, narrow=True), range(lives)))
    shots = [shot for shots in made for shot in shots]
    return Movies.of(shots, np.arange(len(shots)) // len(made[0]), "simulated for this run")


def classifier_epoch(seen: Movies, device: Device, epochs: int = 3) -> float:
    """Seconds of the fastest epoch but the first, in which devices wake up."""
    ends: list[float] = []
    settings = Settings(epochs=epochs, cycles=1)
    train_classifier(
        seen, settings, device=device, progress=lambda *_: ends.append(time.perf_counter())
    )
    return float(np.diff(ends).min())


def torque_networks(device: Device = "cuda", states: int = 64, side: int = 24) -> dict[str, Any]:
    """Seconds that an epoch of each torque network takes on each device.

    states : of random spins on ``side`` x ``side`` sites; their fields are what the network that
        ships gives for them
    """
    rng = np.random.default_rng(0)
    field = TorqueNetwork(shipped_model(SHIPPED_TORQUE))
    spins = np.stack([random_spins(side, side, rng) for _ in range(states)]).astype(np.float32)
    fields = np.stack([field(state) for state in spins]) / np.float32(field.card.mean_field)
    found: dict[str, Any] = {"states": states, "sites": side**2}
    for architecture in LEARNING_RATES:
        epoch = partial(torque_epoch, TorqueRecipe(architecture), spins, fields)
        found[architecture] = _on_devices(epoch, device)
    return found


def torque_epoch(
    recipe: TorqueRecipe, spins: np.ndarray, fields: np.ndarray, device: Device
) -> float:
    """Seconds of the second epoch; spins and fields as ``train_torque``'s."""
    steps = -(-len(spins) // recipe.batch)
    ends: list[float] = []
    train_torque(
        recipe.network().to(device),
        spins,
        fields,
        steps=2 * steps,
        batch=recipe.batch,
        learning_rate=LEARNING_RATES[recipe.architecture],
        augment=recipe.architecture == "paper",
        progress=lambda *_: ends.append(time.perf_counter()),
    )
    return ends[-1] - ends[steps - 1]


def _on_devices(epoch: Callable[[Device], float], device: Device) -> dict[str, Any]:
    own, cpu = epoch(device), epoch("cpu")
    return {
        "device": device,
        "epoch_s": own,
        "cpu_epoch_s": cpu,
        "cpu_threads": torch.get_num_threads(),
        "times_cpu": cpu / own,
    }


def torque_film(
    device: Device = "cuda", side: int = 96, seconds: float = 2.0, steps: int = 20
) -> dict[str, Any]:
    """Steps a second of a film that the shipped network moves, on the device and on the CPU.

    steps : after which spins are compared, and between two looks at the clock

    The network is torch's there, and ONNX Runtime's too where that has CUDA.
    Raises RuntimeError where the film does not move as on the CPU.
    """
    path = shipped_model(SHIPPED_TORQUE)
    torques: dict[str, Any] = {
        "cpu, ONNX Runtime": TorqueNetwork(path),
        f"{device}, torch": TorqueOnTorch(path, device),
    }
    if device == "cuda" and "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        torques["cuda, ONNX Runtime"] = TorqueNetwork(path, provider="cuda")
    ends, rates = {}, {}
    for name, torque in torques.items():
        ends[name], rates[name] = _moved(torque, side, seconds, steps)
    truth = ends["cpu, ONNX Runtime"]
    apart = {name: float(np.abs(end - truth).max()) for name, end in ends.items()}
    if max(apart.values()) > _FARTHEST:
        raise RuntimeError(f"after {steps} steps, spins differ from the CPU's by {apart}")
    return {"sites": side**2, "steps_per_s": rates, "largest_difference_from_cpu": apart}


def _moved(torque: Any, side: int, seconds: float, steps: int) -> tuple[np.ndarray, float]:
    """A warm film's spins after some steps under a pulse, and its steps a second after that."""
    parameters = ItinerantFilmParameters(side, side, temperature_K=2.0)
    film = TorqueFilm(torque, parameters, device=torque.device, seed=1)
    film.set_skyrmion_lattice()
    span_ps = steps * parameters.t0_ps / 2
    pulse = Pulse(amplitude_T=5, width_ps=span_ps, peak_ps=span_ps, theta_deg=70)
    film.advance(span_ps, pulse, max_step_ps=span_ps / steps)
    end = film.spins

    def once() -> float:
        film.advance(span_ps, max_step_ps=span_ps / steps)
        film.spins  # noqa: B018 - waits for the device
        return steps

    return end, median_rate(once, seconds)
