"""`skyctl bench monte-carlo`: Monte Carlo beside Spirit."""

from skyctl.cli.common import JsonFile, complaints, console, explained, show_rows, write_json


def bench_monte_carlo(json_file: JsonFile = None) -> None:
    """Monte Carlo updates a second of one core, beside Spirit's Metropolis where it is there."""
    from skyctl.bench.monte_carlo import monte_carlo_speed

    with explained():
        with complaints.status("sweeping …"):
            result = monte_carlo_speed()
        show_rows(result["results"])
        console.print(f"1,000 sweeps: {result['annealed_core_s_a_state']:.3f} core-seconds a state")
        write_json(json_file, result)
