"""Who says what in a play, as Project Gutenberg's older texts print it: a speaker's name on a line, then the speech."""

from __future__ import annotations

import re

_OPENS = re.compile(r"^(?:ACT|Act|INDUCTION|PROLOGUE)\b", re.MULTILINE)
_DIRECTION = re.compile(r"\[[^\]]*\]")
_HEADING = re.compile(
    r"(?:(?:ACT|SCENE|INDUCTION|PROLOGUE|EPILOGUE|THE END|ENTER|EXIT|EXEUNT|RE-ENTER)\b|[IVX]+\.?$)", re.IGNORECASE
)
_NAME = re.compile(r"(?:[A-Z][A-Za-z'&.-]*(?: [A-Za-z][A-Za-z'&.-]*){0,4}\.|[A-Z][A-Z'& -]+)")


def speeches(play: str) -> dict[str, str]:
    r"""Return what each role of a play says, its speeches one after the other, a line of the play a line.

    A speech is a paragraph whose first line is a name (up to five words and a point, or capitals), and the paragraphs
    after it up to the next name or heading. What stands in brackets is said by nobody, nor is what precedes the first
    act.

    >>> speeches("Ann, a queen.\n\nACT I.\n\nAnn.\nWho is\nthere?\n\n[Exit.]\n\nHo!\n\nBOB\nI.\n")
    {'ANN': 'Who is\nthere?\nHo!', 'BOB': 'I.'}
    """
    opens = _OPENS.search(play)
    text = _DIRECTION.sub("", play[opens.start() :] if opens else "")
    said: dict[str, list[str]] = {}
    role = None
    for paragraph in re.split(r"\n\s*\n", text):
        lines = [line.strip() for line in paragraph.splitlines() if line.strip()]
        if len(lines) > 1 and _NAME.fullmatch(lines[0]) and not _HEADING.match(lines[0]):
            role = lines.pop(0).rstrip(".").upper()
        elif lines and _HEADING.match(lines[0]):
            role = None
        if role is not None:
            said.setdefault(role, []).extend(lines)
    return {role: "\n".join(lines) for role, lines in said.items()}
