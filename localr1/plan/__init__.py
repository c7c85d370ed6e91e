"""The memory plan: what a model needs, buffer by buffer, and whether this machine has it."""
