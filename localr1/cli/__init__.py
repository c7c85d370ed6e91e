"""The command line: one module per group of verbs; `output` alone writes to the terminal."""
