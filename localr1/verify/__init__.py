"""Is the converted file what it should be: its tokenizer, its tensors, and what it predicts.

llama.cpp answers, in a child process; the converter's own code does not judge itself.
"""
