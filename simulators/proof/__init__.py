"""The simulators beside theory and other programs: what `skyctl verify` runs."""
