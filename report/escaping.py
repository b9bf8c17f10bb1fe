"""Text from a results folder made inert: one function per format.

Names of levels, studies and errors come from files that anyone may have written.
"""

import re
import unicodedata

LONGEST = 2_000  # characters of a paragraph; more is cut, with an ellipsis
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # begins a cell that a spreadsheet computes
LONGEST_CELL = 200  # characters of a table cell, a heading or a name
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_MARKDOWN = re.compile(r"([\\`*_{}\[\]|~$#!])")
_AUTOLINK = re.compile(r"://|(?i:www\.|mailto:|xmpp:)|@")


def visible(text: object, longest: int = LONGEST) -> str:
    """One line, at most so long, in which control and direction characters are spelled out."""
    flat = str(text)[: longest + 1].replace("\n", " ").replace("\t", " ")
    cut = flat if len(flat) <= longest else flat[: longest - 1] + "…"
    return "".join(_spelled(letter) for letter in cut)


def _spelled(letter: str) -> str:
    if unicodedata.category(letter) not in _UNSEEN:
        return letter
    return f"\\u{ord(letter):04x}"


def markdown(text: object, longest: int = LONGEST) -> str:
    """Text that Markdown shows as it is: no markup, HTML, link, table cell, formula or mention."""
    plain = visible(text, longest)
    entities = plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    escaped = _MARKDOWN.sub(r"\\\1", entities)
    return _AUTOLINK.sub(lambda match: f"{match[0][:-1]}&#{ord(match[0][-1])};", escaped)


def html_attribute(text: object) -> str:
    """Text that may stand between double quotes in the HTML that Markdown allows."""
    plain = visible(text)
    return re.sub(r"[&<>\"'`\[\]|\\*:@]", lambda match: f"&#{ord(match[0])};", plain)
