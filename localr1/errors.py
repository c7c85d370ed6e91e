"""Owns the errors of `localr1` and the exit codes of the command line.

    LocalR1Error
    ├── UsageError               2  what was asked makes no sense
    ├── ModelNotFoundError       3  no such model, file or directory
    │   └── AccessRefusedError   3  the hub does not let us see it without asking its owner
    ├── DoesNotFitError          4  the plan says no
    ├── OfflineError             5  needs the network, which we were told not to use
    ├── NetworkError             5  the network or the hub failed, also when tried again
    ├── DownloadError            6  what the hub sends is not what it promised, or not safe
    ├── ModelFileError           6  damaged, hostile or not what it claims
    │   ├── TemplateRefusedError 6  the chat template fails or costs too much
    │   ├── TokenizerDiffersError 6 the GGUF would encode text otherwise than the checkpoint
    │   └── OutputDamagedError   6  what was written is not what it was made from
    ├── DocumentError            6  locked, damaged, too long, or without text
    ├── EngineError              7  the child process
    │   ├── EngineStartError     7  never became ready
    │   ├── EngineDiedError      7  died while working
    │   └── EngineRefusedError   7  is alive but llama.cpp said no (load failed, bad request)
    ├── ContextOverflowError     8  the prompt is longer than the context
    ├── NoRoomError              9  the disk that stdout or the cache is on is full
    ├── CancelledError         130  Ctrl-C, or told to terminate
    └── ReaderLeftError        130  whoever read our stdout closed it

`quant.errors.QuantError` and `backends.errors.BackendError` are trees of their own with the same
four attributes (`code`, `exit_code`, `message`, `hint`), so that the command line treats all alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from backends.errors import BackendError
from quant.errors import QuantError

EXIT_OK = 0
EXIT_UNEXPECTED = 1
EXIT_USAGE = 2
EXIT_NOT_FOUND = 3
EXIT_DOES_NOT_FIT = 4
EXIT_OFFLINE = 5
EXIT_DAMAGED = 6
EXIT_ENGINE_DIED = 7
EXIT_CONTEXT_OVERFLOW = 8
EXIT_DISK_FULL = 9
EXIT_NO_ANSWER = 10
EXIT_INTERRUPTED = 130


class LocalR1Error(Exception):
    """Any failure that localr1 explains: one line of what and where, and what to do about it."""

    code: ClassVar[str] = "unexpected"
    exit_code: ClassVar[int] = EXIT_UNEXPECTED
    advice: ClassVar[str] = ""
    """What to do, where who raises it knows nothing better."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or self.advice


class UsageError(LocalR1Error):
    """The request itself makes no sense."""

    code = "usage"
    exit_code = EXIT_USAGE
    advice = "add --help to see what it takes"


class ModelNotFoundError(LocalR1Error, FileNotFoundError):
    """No such model, file or directory."""

    code = "not_found"
    exit_code = EXIT_NOT_FOUND
    advice = "check the name"

    def __str__(self) -> str:
        # FileNotFoundError would print errno and None
        return self.message


class AccessRefusedError(ModelNotFoundError):
    """A private or gated repository, and no token that opens it."""

    code = "access_refused"


class DoesNotFitError(LocalR1Error):
    """The memory plan says that the model does not fit this machine."""

    code = "does_not_fit"
    exit_code = EXIT_DOES_NOT_FIT
    advice = "localr1 plan says what would"


class OfflineError(LocalR1Error):
    """What was asked needs the network, and the user forbade it."""

    code = "offline"
    exit_code = EXIT_OFFLINE


class NetworkError(LocalR1Error):
    """The network or the hub failed."""

    code = "network"
    exit_code = EXIT_OFFLINE

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        is_passing: bool = True,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, hint=hint or "run the same command again; what is done was kept")
        self.is_passing = is_passing
        """Whether trying again may help."""
        self.retry_after_s = retry_after_s
        """How long the hub asks us to wait; None if it does not say."""


class DownloadError(LocalR1Error):
    """The hub's answer contradicts its promises, or leads where we do not follow."""

    code = "download"
    exit_code = EXIT_DAMAGED
    advice = "try again later; nothing of it was used"


class ModelFileError(LocalR1Error):
    """The file is damaged, hostile or not what it claims to be."""

    code = "file_damaged"
    exit_code = EXIT_DAMAGED
    advice = "get the file again; if that changes nothing, it was made so"


class TemplateRefusedError(ModelFileError):
    """The model's chat template fails, is too big, or costs too much to render."""

    code = "template_refused"
    advice = "another file of the same model may have a better one"


class TokenizerDiffersError(ModelFileError):
    """A GGUF would encode text otherwise than the checkpoint it is made from."""

    code = "tokenizer_differs"


class OutputDamagedError(ModelFileError):
    """A file that was just written does not hold what it was made from."""

    code = "output_damaged"


class DocumentError(LocalR1Error):
    """A document that cannot be read: locked, damaged, too long, or without text."""

    code = "document_refused"
    exit_code = EXIT_DAMAGED
    advice = "give what it says as a text file"


class EngineError(LocalR1Error):
    """Something is wrong with the engine's child process."""

    code = "engine"
    exit_code = EXIT_ENGINE_DIED

    def __init__(self, message: str, *, hint: str = "", is_device_failure: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.is_device_failure = is_device_failure
        """True when the log blames a GPU or its driver: the CPU may succeed."""


class EngineStartError(EngineError):
    """The child process did not become ready."""

    code = "engine_start"
    advice = "try again when fewer programs run, with TMPDIR where there is room"


class EngineDiedError(EngineError):
    """The child process died, hung or spoke nonsense while it was working."""

    code = "engine_died"


class EngineRefusedError(EngineError):
    """The child is alive, but llama.cpp refused what was asked of it."""

    code = "engine_refused"


class ContextOverflowError(LocalR1Error):
    """The prompt does not fit into the context; nothing was cut."""

    code = "context_overflow"
    exit_code = EXIT_CONTEXT_OVERFLOW

    def __init__(self, n_prompt: int, n_ctx: int) -> None:
        super().__init__(
            f"the conversation is {n_prompt} tokens long, the context holds {n_ctx}",
            hint=f"use --ctx {_round_up(n_prompt + 1024)} or more, or clear the conversation",
        )
        self.n_prompt = n_prompt
        self.n_ctx = n_ctx


class NoRoomError(LocalR1Error):
    """There is no room where we have to write."""

    code = "disk_full"
    exit_code = EXIT_DISK_FULL
    advice = "free some space, and run it again"


class CancelledError(LocalR1Error):
    """The user, or the system, wants the work to end: Ctrl-C or SIGTERM."""

    code = "cancelled"
    exit_code = EXIT_INTERRUPTED

    def __init__(self, message: str = "interrupted", *, hint: str = "") -> None:
        super().__init__(message, hint=hint)


class ReaderLeftError(LocalR1Error):
    """Whoever read stdout closed it, as `| head -1` does."""

    code = "reader_left"
    exit_code = EXIT_INTERRUPTED

    def __init__(self) -> None:
        super().__init__("the reader of stdout went away; stopped")


def _round_up(n_tokens: int) -> int:
    return -(-n_tokens // 1024) * 1024


def _tree(
    base: type[LocalR1Error | QuantError | BackendError],
) -> Iterator[type[LocalR1Error | QuantError | BackendError]]:
    yield base
    for child in base.__subclasses__():
        yield from _tree(child)


EXIT_CODE_OF: dict[str, int] = {
    cls.code: cls.exit_code
    for base in (LocalR1Error, QuantError, BackendError)
    for cls in _tree(base)
}
"""Exit code by the `code` of an `error` event."""
