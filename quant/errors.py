"""Owns the errors of `quant`.

QuantError
├── SourceNotFoundError        3  no checkpoint there
├── NotACheckpointError        6  a directory without the files of a checkpoint
├── CheckpointDamagedError     6  headers lie, shards or tensors are missing
├── GgufFileError              6  a GGUF that is damaged, hostile or no GGUF
│   └── HeaderCutOffError      6  the bytes at hand end before its header does
├── ImportanceFileError        6  an importance matrix that is damaged, or of another model
├── UnsupportedError           6  an architecture, tokenizer or dtype we do not know
├── KernelsMissingError        7  llama.cpp's quantiser is not installed
├── DiskFullError              9  no room for the output
├── OutputNotWritableError     2  the output's directory does not let us
├── OutputBusyError            2  another process writes it right now
├── OutputExistsError          2  will not overwrite without being told to, nor ever its source
└── BadRequestError            2  no such type, or no size
"""

from __future__ import annotations

from typing import ClassVar

FETCH_AGAIN = "fetch it again; if that changes nothing, it was published so"
"""What to do about a checkpoint that contradicts itself."""


class QuantError(Exception):
    """Any failure of a conversion that we can explain."""

    code: ClassVar[str] = "convert"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class SourceNotFoundError(QuantError):
    """There is nothing at the source path."""

    code = "not_found"
    exit_code = 3


class NotACheckpointError(QuantError):
    """The directory lacks the files of a checkpoint."""

    code = "not_a_checkpoint"
    exit_code = 6


class CheckpointDamagedError(QuantError):
    """A header lies, or a shard or tensor is missing."""

    code = "checkpoint_damaged"
    exit_code = 6


class GgufFileError(QuantError):
    """A GGUF file is damaged, hostile or not what it claims to be."""

    code = "file_damaged"
    exit_code = 6


class ImportanceFileError(QuantError):
    """An importance matrix is damaged, is none, or was made for another model."""

    code = "importance_file"
    exit_code = 6


class HeaderCutOffError(GgufFileError):
    """The header of a GGUF goes on where the bytes at hand end."""


class UnsupportedError(QuantError):
    """An architecture, tokenizer, dtype or quantisation type we do not know."""

    code = "unsupported"
    exit_code = 6


class KernelsMissingError(QuantError):
    """The library that holds llama.cpp's quantiser is not installed or does not load."""

    code = "kernels_missing"
    exit_code = 7


class DiskFullError(QuantError):
    """There is no room for the output."""

    code = "disk_full"
    exit_code = 9


class OutputNotWritableError(QuantError):
    """The system does not let us write the output there."""

    code = "output_not_writable"
    exit_code = 2


class OutputBusyError(QuantError):
    """Another process is writing the same output."""

    code = "output_busy"
    exit_code = 2


class BadRequestError(QuantError):
    """What was asked for does not exist; the checkpoint is not to blame."""

    code = "usage"
    exit_code = 2


class OutputExistsError(QuantError):
    """The output exists and overwriting was not asked for."""

    code = "output_exists"
    exit_code = 2
