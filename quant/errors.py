"""Owns the errors of `quant`.

QuantError
├── SourceNotFoundError        3  no checkpoint there
├── SourceUnreadableError      6  there, but the system does not let us read it
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

from pathlib import Path
from typing import ClassVar


class QuantError(Exception):
    """Any failure of a conversion that we can explain."""

    code: ClassVar[str] = "convert"
    exit_code: ClassVar[int] = 1
    advice: ClassVar[str] = ""
    """What to do, where who raises it knows nothing better."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or self.advice


class SourceNotFoundError(QuantError):
    """There is nothing at the source path."""

    code = "not_found"
    exit_code = 3
    advice = "give a checkpoint's directory, a GGUF file, or user/repo on a hub"


class SourceUnreadableError(QuantError):
    """Something is there, but the system does not let us read it."""

    code = "unreadable"
    exit_code = 6
    advice = "see who may read it, and whether its disk works"


def unreadable(path: Path, exc: Exception) -> SourceUnreadableError:
    """What to raise when reading a file failed."""
    return SourceUnreadableError(f"cannot read {path}: {getattr(exc, 'strerror', None) or exc}")


class NotACheckpointError(QuantError):
    """The directory lacks the files of a checkpoint."""

    code = "not_a_checkpoint"
    exit_code = 6
    advice = "give the directory of a whole checkpoint"


class CheckpointDamagedError(QuantError):
    """A header lies, or a shard or tensor is missing."""

    code = "checkpoint_damaged"
    exit_code = 6
    advice = "fetch it again; if that changes nothing, it was published so"


class GgufFileError(QuantError):
    """A GGUF file is damaged, hostile or not what it claims to be."""

    code = "file_damaged"
    exit_code = 6
    advice = "get the file again; if that changes nothing, it was made so"


class ImportanceFileError(QuantError):
    """An importance matrix is damaged, is none, or was made for another model."""

    code = "importance_file"
    exit_code = 6
    advice = "localr1 imatrix makes one; or get the file again"


class HeaderCutOffError(GgufFileError):
    """The header of a GGUF goes on where the bytes at hand end."""


class UnsupportedError(QuantError):
    """An architecture, tokenizer, dtype or quantisation type we do not know."""

    code = "unsupported"
    exit_code = 6
    advice = "docs/convert.md lists what is known; a newer version may know more"


class KernelsMissingError(QuantError):
    """The library that holds llama.cpp's quantiser is not installed or does not load."""

    code = "kernels_missing"
    exit_code = 7
    advice = "reinstall llama-cpp-python"


class DiskFullError(QuantError):
    """There is no room for the output."""

    code = "disk_full"
    exit_code = 9
    advice = "free some space and run it again, or write to another disk with -o"


class OutputNotWritableError(QuantError):
    """The system does not let us write the output there."""

    code = "output_not_writable"
    exit_code = 2
    advice = "write to another directory with -o"


class OutputBusyError(QuantError):
    """Another process is writing the same output."""

    code = "output_busy"
    exit_code = 2
    advice = "wait until it ends, or write to another file with -o"


class BadRequestError(QuantError):
    """What was asked for does not exist; the checkpoint is not to blame."""

    code = "usage"
    exit_code = 2
    advice = "see localr1 convert --help"


class OutputExistsError(QuantError):
    """The output exists and overwriting was not asked for."""

    code = "output_exists"
    exit_code = 2
    advice = "choose another -o"
