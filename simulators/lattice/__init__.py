"""The atomistic film: a square lattice of spins, one or a batch, on the CPU or a CUDA device."""
