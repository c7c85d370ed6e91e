"""The engine's process: the protocol, the parent's side and the child's side.

llama.cpp aborts on what it does not like, and an abort cannot be caught. So the model lives in a
child that may die; the parent gets a typed error and keeps what was said so far.
"""
