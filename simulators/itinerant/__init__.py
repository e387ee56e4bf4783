"""The itinerant magnet: spins that electrons, or a network in their place, turn."""
