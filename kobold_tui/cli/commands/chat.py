"""`kobold-tui chat`: one answer, many answers, or a conversation in plain text."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kobold_tui.services.registry import Services

NAME = "chat"
SUMMARY = "answer a prompt or piped text, or hold a conversation"

EPILOG = """\
With -p or piped text it answers once; with both, the piped text follows the
prompt. Otherwise it asks for prompts until ctrl+d; ctrl+c stops an answer.
Answers to -p, pipes and --batch are not kept among the conversations. A line of
a --batch file is a JSON string or {"prompt": …, "id": …, "system": …}.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = EPILOG
    who = parser.add_argument_group("who answers")
    who.add_argument(
        "reference", nargs="?", metavar="MODEL", help="model (file or name) or preset; else the default"
    )
    what = parser.add_argument_group("what to answer")
    what.add_argument("-p", "--prompt", metavar="TEXT", help="answer this and end")
    what.add_argument("--batch", metavar="FILE.jsonl", help="answer every line of a file; - is the pipe")
    what.add_argument("-s", "--system", metavar="TEXT", help="system prompt in place of the preset's")
    what.add_argument("--raw", action="store_true", help="send the prompt as it is, without chat template")
    how = parser.add_argument_group("how to answer")
    how.add_argument("--seed", type=int, metavar="N", help="the same seed gives the same text")
    how.add_argument("--temperature", type=float, metavar="T", help="0 always takes the likeliest token")
    how.add_argument("--max-tokens", type=int, metavar="N", help="most tokens of an answer")
    how.add_argument("--threads", type=int, metavar="N", help="CPU threads")
    how.add_argument("--json", action="store_true", help="print one JSON document an answer")


def is_private(arguments: argparse.Namespace) -> bool:
    """Whether the answers are for a script, and are then kept nowhere."""
    return arguments.prompt is not None or arguments.batch is not None or not sys.stdin.isatty()


async def run(arguments: argparse.Namespace, services: Services) -> int:
    """Load the model and answer."""
    from kobold_tui.cli.chatting import chat  # `--help` needs no event loop

    return await chat(arguments, services)
