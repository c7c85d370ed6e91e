"""Model families: which tensor of a checkpoint becomes which tensor of a GGUF."""
