"""The embedded model: r1-nano, a 5-million-parameter model that really reasons, as a checkpoint."""
