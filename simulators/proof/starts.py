"""Spins that experiments start from."""

import numpy as np


def random_spins(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    """Unit spins (3, rows, columns) of no symmetry, the same ones for a seed."""
    spins = np.random.default_rng(seed).normal(size=(3, rows, columns))
    return spins / np.linalg.norm(spins, axis=0)
