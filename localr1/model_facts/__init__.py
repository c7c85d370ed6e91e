"""What a GGUF header means: sizes, windows, experts, and what each layer remembers."""
