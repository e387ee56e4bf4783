"""Real instruments behind the pulser and the camera: drivers, and the transports they talk over."""
