"""Block quantisation across SIMD lanes: the bytes of llama.cpp's quantiser, several times sooner.

llama.cpp quantises one block after another, and the search inside a block is a chain of float
additions whose order decides the result, so a compiler cannot vectorise it. Here 64 blocks lie
side by side, one per lane: every block keeps its own order of operations and the processor works
on all of them at once. Entry points: `registry.quantize`, `preparation.lane_kernels`.

What equality holds. All arithmetic is float32 as IEEE 754 defines it, one rounding per operation,
nothing fused or reordered. On x86-64, where llama.cpp's base library is by default compiled without
fused multiply-add, the bytes are identical to `ggml_quantize_chunk`: the tests in `tests/oracle`
compare them, and so does a sample whenever a kernel is loaded. Elsewhere compilers may fuse
llama.cpp's multiplications and additions, so the lane kernels are left alone and every byte is of
that machine's own `ggml_quantize_chunk`; it may differ in the last bits from what x86-64 gives.

Modules: `compiled` (how functions become machine code), `lanes` (memory layout), `rounding`
(float32 to integers and halves), `affine_search` and `symmetric_search` (the two ways to look for a
scale), one module per family of types, `reference` (llama.cpp's own), `registry` (which of them
does a type); and how kernels come to be there: `preparation`, `compile` (a child process),
`compiled_code` (on the disk).
"""
