"""Owns the plain chat: a prompt, labelled streams, nothing repainted; for screen readers, logs."""

from __future__ import annotations

from localr1.chat.conversation import Conversation
from localr1.cli.linear import LinearSkin
from localr1.cli.output import Output
from localr1.cli.reply import run_reply

_HELP = """\
/clear   forget the conversation
/help    this list
/exit    leave (or Ctrl-D)
Ctrl-C   stop the reply"""


def run_plain(output: Output, conversation: Conversation) -> int:
    """Read questions from stdin until it ends or the user leaves; the last reply's exit code."""
    skin = LinearSkin(output, labels=True, shows_memory=True)
    exit_code = run_reply(conversation, skin, conversation.open())
    if exit_code:
        return exit_code
    output.narrate(f"{conversation.title}. /help lists the commands.")
    while (line := _read_line(output)) is not None:
        match line.strip():
            case "":
                continue
            case "/exit" | "/quit" | "/bye":
                break
            case "/help" | "/?":
                output.narrate(_HELP)
            case "/clear":
                conversation.clear()
                output.narrate("forgotten")
            case command if command.startswith("/") and " " not in command:
                output.narrate(f"no command {command}; /help lists them")
            case question:
                exit_code = run_reply(conversation, skin, conversation.ask(question))
    return exit_code


def _read_line(output: Output) -> str | None:
    output.narrate("> ", end="")
    try:
        return input().encode(errors="replace").decode()
    except EOFError:
        output.narrate("")
        return None
    except UnicodeDecodeError:
        output.narrate("that was not UTF-8 text")
        return ""
    except KeyboardInterrupt:
        output.narrate("\n(/exit or Ctrl-D leaves)")
        return ""
