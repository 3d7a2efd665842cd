"""Texts of the library for visitors: without private paths, and without advice that only the
command line can follow."""

import re
import tempfile

from midframe.web.options import FIRST, SECOND, THE_FILE, VIDEO
from midframe.web.storage import PREFIX

RESULT = "result"
FILES = {
    VIDEO: THE_FILE,
    FIRST: "the first picture",
    SECOND: "the second picture",
    RESULT: "the result",
}
"""Names of private files in texts, by words in their paths."""
LABELS = {
    "model": "Model",
    "factor": "Factor",
    "fps": "Frames per second",
    "slow": "Slow motion",
    "start": "From",
    "end": "To",
    "codec": "Codec",
    "deinterlace": "Deinterlace",
    "mute": "No sound",
}
"""Labels of the fields of the page, by the options of the command line."""
PRIVATE = re.compile(rf"{re.escape(tempfile.gettempdir())}[\\/]({PREFIX}[^\s:;,()'\"]*)")
OPTION = re.compile(r"--([a-z][a-z-]*)")
COMMAND = (
    rf"--(?!(?:{'|'.join(LABELS)})(?![\w-]))[a-z]|\bOUT\b|`(?:midframe|pip)|\bname an?(?:other)? "
)
"""What only the command line can follow: options without a field, and its arguments."""
NEEDS_COMMAND = re.compile(COMMAND)
ALTERNATIVE = re.compile(rf",? or (?:(?! or )[^,])*?(?:{COMMAND})(?:(?! or )[^,])*,?")
"""One of several remedies that only the command line can follow."""


def for_visitors(text: str) -> str:
    """Return a text of the library as the page shows it.

    A text is a problem, ": " and its remedy, which may be followed by "; " and more. What only the
    command line can follow is dropped, and other options get the names of their fields.
    """
    problem, *more = PRIVATE.sub(_name_file, text).split("; ")
    problem, colon, remedy = problem.rpartition(": ")
    remedy = ALTERNATIVE.sub("", remedy)
    if colon and NEEDS_COMMAND.search(remedy):
        colon = remedy = ""
    kept = [each for each in more if not NEEDS_COMMAND.search(each)]
    return OPTION.sub(_name_field, "; ".join([f"{problem}{colon}{remedy}", *kept]))


def _name_file(found: re.Match[str]) -> str:
    words = re.findall(rf"\b(?:{'|'.join(FILES)})\b", found[1])
    return FILES[words[-1]] if words else THE_FILE


def _name_field(found: re.Match[str]) -> str:
    return LABELS.get(found[1], found[1])
