"""Papers done again: what they simulated, trained and measured, beside what they printed."""
