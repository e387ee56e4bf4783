"""LLG terms, integrators, random numbers and topology: each once, for every film and processor."""
