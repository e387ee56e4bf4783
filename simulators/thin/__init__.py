"""The soft magnetic film with its own stray field: standard problem 4."""

DEFAULT_TOLERANCE = 1e-3
"""Error that a step may leave in a component of m. 1e-4 is no nearer to the reference series of
standard problem 4, and takes longer."""
