"""Tokenizers: from a checkpoint's files to the `tokenizer.*` metadata of a GGUF."""
