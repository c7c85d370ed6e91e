"""Models by the names people use for them, planned without a file and without a network.

`families/*.toml` holds what their makers published: repository, lineage, licence and the sizes of
config.json, under the names that a GGUF has for them. `entry` reads that, `header` makes of it the
header that the converted file would have.
"""
