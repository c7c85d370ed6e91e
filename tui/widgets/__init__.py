"""The widgets of the terminal interface; they draw and post messages, nothing else."""
