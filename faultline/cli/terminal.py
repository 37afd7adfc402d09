"""What goes to a terminal of text that anyone may have written: nothing that it would obey."""

from __future__ import annotations

import struct


def escaped(content: str | bytes) -> str:
    r"""Write what is not printable as a backslash and its code, and what is no UTF-8 by bytes.

    >>> escaped(b"caf\xc3\xa9\xff \x1b[2J"), escaped("\u202e\n")
    ('café\\xff \\x1b[2J', '\\u202e\\n')
    """
    text = content if isinstance(content, str) else content.decode("utf-8", "backslashreplace")
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def escaped_json(document: str) -> str:
    r"""Write what is not printable in a JSON document, but for its lines' ends, as ``\uXXXX``.

    The document says the same: such characters stand in its strings only.

    >>> print(escaped_json('{"caf\xe9": "\x9b2J\x7f \u202e\U000e0001"}'))
    {"café": "\u009b2J\u007f \u202e\udb40\udc01"}
    """
    if document.isascii() and "\x7f" not in document:
        # What else is below is written by its code already.
        return document
    return "".join(
        each if each.isprintable() or each == "\n" else _by_code(each) for each in document
    )


def _by_code(character: str) -> str:
    units = struct.iter_unpack(">H", character.encode("utf-16-be"))
    return "".join(f"\\u{unit:04x}" for (unit,) in units)
