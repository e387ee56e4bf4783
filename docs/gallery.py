# %% [markdown]
# # Gallery
#
# Each picture was made by the code above it when this page was built; nothing is loaded.

# %%
import matplotlib.pyplot as plt
import numpy as np

from skyctl.pulse import Pulse
from skyctl.simulators.lattice.film import FilmParameters
from skyctl.simulators.lattice.movies import MovieSpec, simulate


def show(*images, titles=()):
    """Pictures of S_z (rows, columns), blue down and red up."""
    figure, row = plt.subplots(1, len(images), figsize=(2.2 * len(images), 2.4), squeeze=False)
    for axes, image, title in zip(row[0], images, titles, strict=True):
        drawn = axes.imshow(image, cmap="RdBu_r", vmin=-1, vmax=1, origin="lower")
        axes.set(title=title, xticks=[], yticks=[])
    figure.colorbar(drawn, ax=row[0].tolist(), label="S_z")


# %% [markdown]
# ## A pulse that switches a skyrmion

# %%
times = [0, 30, 45, 60, 90, 150]
switching = Pulse(amplitude_T=2.0, width_ps=28, theta_deg=40)
movie = simulate(MovieSpec(FilmParameters(damping=0.36), times, switching))
show(*movie[:, 2], titles=[f"{time} ps" for time in times])

# %% [markdown]
# ## What the network says while it runs

# %%
from skyctl.inference.model import MovieClassifier

times = np.arange(0, 106, 5.0)
spins = simulate(MovieSpec(FilmParameters(damping=0.36), times, switching))
model = MovieClassifier()
probabilities = list(model.watch(spins[:, 2], times, switching))
plt.figure(figsize=(7, 3))
plt.plot(times, probabilities, label=model.card.classes)
plt.xlabel("movie time (ps)")
plt.ylabel("probability")
plt.legend(fontsize=8)
# %% [markdown]
# ## Films: bulk and interfacial DMI, a disc

# %%
from skyctl.simulators.lattice.shapes import sites_of

films = {
    "Bloch": (FilmParameters(), None),
    "Néel": (FilmParameters(dmi_meV=0.0, interfacial_dmi_meV=0.24), None),
    "disc": (FilmParameters(), "disc:40"),
}
images = []
for film, shape in films.values():
    sites = sites_of(shape, film.rows, film.columns) if shape else None
    last = simulate(MovieSpec(film, [0], Pulse(width_ps=8), sites=sites))[0]
    images.append(np.where(last[2] == 0, np.nan, last[2]))
show(*images, titles=list(films))

# %% [markdown]
# ## Pulses

# %%
from skyctl.waveform import Burst, Square

span = np.linspace(0, 80, 400)
courses = {
    "Gaussian": Pulse(width_ps=20),
    "square": Pulse(width_ps=20, waveform=Square(rise_ps=2, fall_ps=6)),
    "burst": Pulse(width_ps=20, waveform=Burst(frequency_THz=0.1)),
}
plt.figure(figsize=(7, 2.6))
for name, pulse in courses.items():
    plt.plot(span, pulse.at(span), label=name)
plt.xlabel("t (ps)")
plt.ylabel("B over its peak")
plt.legend()
# %% [markdown]
# ## A process diagram
#
# What a pulse does over its width and the film's damping: the truth, and what the network says. B
# is breathing, S switching, C collapse, M mixed, or left unnamed. `skyctl diagram` draws finer
# ones.

# %%
import tempfile
from pathlib import Path

from skyctl.pulse import FrameSchedule
from skyctl.studies.process_diagram import process_diagram
from skyctl.studies.process_diagram_figure import draw_diagram

movie = FrameSchedule(duration_ps=165, interval_ps=15)
diagram = process_diagram(40.0, [8, 20, 32, 44], [0.12, 0.28, 0.44, 0.6], movie)
path = Path(tempfile.mkdtemp()) / "diagram.png"
draw_diagram(diagram, path)
plt.figure(figsize=(9, 4))
plt.imshow(plt.imread(path))
plt.axis("off")
