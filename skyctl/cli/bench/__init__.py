"""`skyctl bench`: a file for each command, put here in the order of `--help`."""

import typer

from skyctl.cli.bench.autonomy import bench_autonomy
from skyctl.cli.bench.characterise import bench_characterise
from skyctl.cli.bench.classifier import bench_classifier
from skyctl.cli.bench.cycle import bench_cycle
from skyctl.cli.bench.faults import bench_faults
from skyctl.cli.bench.files import bench_files
from skyctl.cli.bench.generator import bench_generator
from skyctl.cli.bench.imagining import bench_imagining
from skyctl.cli.bench.instruments import bench_instruments
from skyctl.cli.bench.latent import bench_latent
from skyctl.cli.bench.loop import bench_loop
from skyctl.cli.bench.maps import bench_maps
from skyctl.cli.bench.monitor import bench_monitor
from skyctl.cli.bench.monte_carlo import bench_monte_carlo
from skyctl.cli.bench.reach import bench_reach
from skyctl.cli.bench.reader import bench_reader
from skyctl.cli.bench.recording import bench_recording
from skyctl.cli.bench.simulator import bench_simulator
from skyctl.cli.bench.soak import bench_soak
from skyctl.cli.bench.starts import bench_starts
from skyctl.cli.bench.states import bench_states
from skyctl.cli.bench.stream import bench_stream
from skyctl.cli.bench.thin_film import bench_thin_film
from skyctl.cli.bench.torque import bench_torque
from skyctl.cli.bench.torque_energy import bench_torque_energy
from skyctl.cli.bench.torque_floor import bench_torque_floor
from skyctl.cli.bench.torque_quenches import bench_torque_quenches
from skyctl.cli.bench.torque_scaling import bench_torque_scaling

bench_app = typer.Typer(
    help="Measure speed, beside a floor measured in the same run.", no_args_is_help=True
)
for name, command in {
    "loop": bench_loop,
    "stream": bench_stream,
    "monitor": bench_monitor,
    "soak": bench_soak,
    "faults": bench_faults,
    "recording": bench_recording,
    "instruments": bench_instruments,
    "classifier": bench_classifier,
    "simulator": bench_simulator,
    "monte-carlo": bench_monte_carlo,
    "files": bench_files,
    "thinfilm": bench_thin_film,
    "maps": bench_maps,
    "torque": bench_torque,
    "torque-energy": bench_torque_energy,
    "torque-floor": bench_torque_floor,
    "torque-quenches": bench_torque_quenches,
    "torque-scaling": bench_torque_scaling,
    "reader": bench_reader,
    "starts": bench_starts,
    "states": bench_states,
    "reach": bench_reach,
    "generator": bench_generator,
    "latent": bench_latent,
    "imagining": bench_imagining,
    "autonomy": bench_autonomy,
    "cycle": bench_cycle,
    "characterise": bench_characterise,
}.items():
    bench_app.command(name)(command)
