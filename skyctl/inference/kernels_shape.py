"""Compiled loops behind the shape features: a frame on a fixed number of cells, and its islands."""

import numpy as np
from numba import njit

from skyctl.compiled import OPTIONS

# Not fastmath: the same frame gives the same bits on every machine that rounds alike.
_compiled = njit(cache=OPTIONS["cache"], nogil=True, error_model="numpy")

NUMBERS_A_LEVEL = 10
"""What ``islands`` counts at one level."""


@_compiled
def resample(image, rows, columns):
    """Area average of ``image`` (H, W) on (rows, columns) cells, float32; conserves the mean.

    Where a cell is smaller than a pixel it repeats the pixel.
    """
    height, width = image.shape
    tall = np.zeros((rows, width), np.float32)
    scale = np.float32(height / rows)
    for r in range(rows):
        low, high = r * height / rows, (r + 1) * height / rows
        for i in range(int(low), min(height, int(np.ceil(high)))):
            share = np.float32(min(high, i + 1.0) - max(low, float(i))) / scale
            if share > 0:
                for j in range(width):
                    tall[r, j] += share * image[i, j]
    cells = np.zeros((rows, columns), np.float32)
    scale = np.float32(width / columns)
    for c in range(columns):
        low, high = c * width / columns, (c + 1) * width / columns
        for j in range(int(low), min(width, int(np.ceil(high)))):
            share = np.float32(min(high, j + 1.0) - max(low, float(j))) / scale
            if share > 0:
                for r in range(rows):
                    cells[r, c] += share * tall[r, j]
    return cells


@_compiled
def smooth(cells):
    """Weights 1, 2, 1 along both axes; the edge repeats itself. (rows, columns) float32."""
    rows, columns = cells.shape
    half, quarter = np.float32(0.5), np.float32(0.25)
    across = np.empty_like(cells)
    for r in range(rows):
        for c in range(columns):
            left, right = cells[r, max(c - 1, 0)], cells[r, min(c + 1, columns - 1)]
            across[r, c] = half * cells[r, c] + quarter * (left + right)
    result = np.empty_like(cells)
    for r in range(rows):
        above, below = max(r - 1, 0), min(r + 1, rows - 1)
        for c in range(columns):
            result[r, c] = half * across[r, c] + quarter * (across[above, c] + across[below, c])
    return result


@_compiled
def roughness(image):
    """Mean |difference| of neighbouring pixels of ``image`` (H, W), of both directions together."""
    height, width = image.shape
    total = 0.0
    for i in range(height):
        row = np.float32(0)
        for j in range(width - 1):
            row += abs(image[i, j + 1] - image[i, j])
        if i:
            for j in range(width):
                row += abs(image[i, j] - image[i - 1, j])
        total += row
    return total / (height * (width - 1) + width * (height - 1))


@_compiled
def _root(parent, i):
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@_compiled
def islands(cells, levels, smallest):
    """What the regions above and below each level look like: (levels, NUMBERS_A_LEVEL) float32.

    A region is 4-connected; those of fewer than ``smallest`` cells are passed over. At each level:
    0 : length of the boundary between above and below, cell sides
    1 : edge cells that lie above
    then, for the regions below (2–5) and for those above (6–9):
    + 0 : regions that touch no edge;      + 1 : regions that touch one
    + 2 : cells in the regions inside;     + 3 : cells in the largest of them
    """
    rows, columns = cells.shape
    found = np.zeros((len(levels), NUMBERS_A_LEVEL), np.float32)
    # A run is a stretch of a row on one side of the level; regions are joined of runs, of which
    # there are far fewer than cells.
    most = rows * columns
    parent, area = np.empty(most, np.int32), np.empty(most, np.int32)
    start, above, at_edge = (
        np.empty(most + 1, np.int32),
        np.empty(most, np.bool_),
        np.empty(most, np.bool_),
    )
    for k in range(len(levels)):
        level = levels[k]
        boundary = edge_above = runs = first_before = first = 0
        for r in range(rows):
            first_before, first = first, runs
            last_side = False
            for c in range(columns):
                side = cells[r, c] > level
                if c == 0 or side != last_side:
                    start[runs], above[runs], parent[runs] = c, side, runs
                    runs += 1
                    last_side = side
            boundary += runs - first - 1
            before = first_before
            for run in range(first, runs):
                end = start[run + 1] if run + 1 < runs else columns
                area[run] = end - start[run]
                at_edge[run] = r == 0 or r == rows - 1 or run == first or run == runs - 1
                if r == 0 or r == rows - 1:
                    edge_above += area[run] if above[run] else 0
                else:
                    edge_above += above[run] and run == first
                    edge_above += above[run] and run == runs - 1
                # Runs of the row before that lie over this one.
                while r > 0 and before < first:
                    before_end = start[before + 1] if before + 1 < first else columns
                    shared = min(end, before_end) - max(start[run], start[before])
                    if above[before] != above[run]:
                        boundary += shared
                    else:
                        a, b = _root(parent, run), _root(parent, before)
                        parent[max(a, b)] = min(a, b)
                    before += before_end <= end
                    if before_end >= end:
                        break
        for run in range(runs - 1, -1, -1):  # a root is the first run of its region
            root = _root(parent, run)
            if root != run:
                area[root] += area[run]
                at_edge[root] |= at_edge[run]
                continue
            if area[run] < smallest:
                continue
            phase = 6 if above[run] else 2
            if at_edge[run]:
                found[k, phase + 1] += 1
            else:
                found[k, phase] += 1
                found[k, phase + 2] += area[run]
                found[k, phase + 3] = max(found[k, phase + 3], np.float32(area[run]))
        found[k, 0], found[k, 1] = boundary, edge_above
    return found


@_compiled
def film_shape(image, rows, columns, levels, smallest):
    """Smoothed cells, roughness and islands of an image in one call: of several, each would cost
    its way into cold caches."""
    cells = smooth(resample(image, rows, columns))
    return cells, roughness(image), islands(cells, levels, smallest)
