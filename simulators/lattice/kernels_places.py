"""Points of a plane that push each other away, a step at a time."""

import numpy as np
from numba import njit

from skyctl.compiled import OPTIONS

_MOST_NEAR = 64


@njit(**OPTIONS)
def push_apart(points, lengths, periodic, apart, reach, steps, relist):
    """Move points (n, 2), in place, by ``steps`` steps of a repulsion exp(-(r - apart)/reach).

    lengths : (2,) of the plane; an edge that is not ``periodic`` pushes as a mirror image would
    relist : steps after which neighbours are looked for again
    """
    n = len(points)
    near = np.empty((n, _MOST_NEAR), np.int64)
    count = np.empty(n, np.int64)
    force = np.empty_like(points)
    far = (2.5 * apart) ** 2
    for step in range(steps):
        if step % relist == 0:
            for i in range(n):
                count[i] = 0
                for j in range(n):
                    x, y = _from(points, i, j, lengths, periodic)
                    if i != j and x * x + y * y < far and count[i] < _MOST_NEAR:
                        near[i, count[i]] = j
                        count[i] += 1
        for i in range(n):
            fx, fy = 0.0, 0.0
            for k in range(count[i]):
                x, y = _from(points, i, near[i, k], lengths, periodic)
                r = np.sqrt(x * x + y * y) + 1e-9
                push = _push(r, apart, reach) / r
                fx += push * x
                fy += push * y
            if not periodic:
                x, y = points[i, 0], points[i, 1]
                fx += _push(2 * x, apart, reach) - _push(2 * (lengths[0] - x), apart, reach)
                fy += _push(2 * y, apart, reach) - _push(2 * (lengths[1] - y), apart, reach)
            force[i, 0], force[i, 1] = fx, fy
        for i in range(n):
            for axis in range(2):
                moved = points[i, axis] + 0.08 * reach * force[i, axis]
                if periodic:
                    points[i, axis] = moved % lengths[axis]
                else:
                    points[i, axis] = min(max(moved, 0.0), lengths[axis])


@njit(**OPTIONS)
def _push(r, apart, reach):
    return min(np.exp(-(r - apart) / reach), 20.0)


@njit(**OPTIONS)
def _from(points, i, j, lengths, periodic):
    x, y = points[i, 0] - points[j, 0], points[i, 1] - points[j, 1]
    if periodic:
        x -= lengths[0] * np.round(x / lengths[0])
        y -= lengths[1] * np.round(y / lengths[1])
    return x, y
