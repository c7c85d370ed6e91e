"""Devices and llama.cpp: what this machine can compute on, and how the engine is told to use it.

`llama` is the only module that imports llama_cpp, and only the engine's child process imports it.
Everything else here is pure: descriptions of devices in, parameters for llama.cpp out.
"""
