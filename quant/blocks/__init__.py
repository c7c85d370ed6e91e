"""Block quantisation across SIMD lanes: the bytes of llama.cpp's quantiser, several times sooner.

llama.cpp quantises one block after another, and the search inside a block is a chain of float
additions whose order decides the result, so a compiler cannot vectorise it. Here 64 blocks lie
side by side, one per lane: every block keeps its own order of operations and the processor works
on all of them at once. Entry point: `quant.blocks.registry.quantize`.

What equality holds. All arithmetic is float32 as IEEE 754 defines it, one rounding per operation,
nothing fused or reordered. On x86-64, where llama.cpp's base library is by default compiled without
fused multiply-add, the bytes are identical to `ggml_quantize_chunk`; the tests in `tests/oracle`
compare them. On arm64 compilers may fuse multiplications and additions in llama.cpp's code, so that
machine's own `ggml_quantize_chunk` may differ from these kernels, which are meant to give the
x86-64 bytes everywhere. That has not been run: no arm64 machine was at hand.

Modules: `compiled` (how functions become machine code), `lanes` (memory layout), `rounding`
(float32 to integers and halves), `affine_search` and `symmetric_search` (the two ways to look for a
scale), then one module per family of types, and `registry`, the only one that callers need.
"""
