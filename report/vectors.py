"""A drawing's SVG made smaller for the page, and looking the same.

Groups that say nothing are dissolved, numbers lose what no screen can show, and names that only
the drawing itself refers to become short ones.
"""

import re
from xml.etree import ElementTree as ET

_NUMBER = re.compile(r"-?\d+\.\d+")
_SPACE = re.compile(r"\s*([A-Za-z,])\s*")  # around the commands of a path
_LINK = re.compile(r"url\(#([^)]+)\)")
LONG_PATH = 200  # letters; from here on a path is a curve, not a mark
_LENGTHS = frozenset({"x", "y", "width", "height", "cx", "cy", "r", "x1", "x2", "y1", "y2"})


def compact(svg: str, prefix: str) -> str:
    """The same drawing in fewer letters; its ids begin with `prefix`, which no other may have."""
    root = ET.fromstring(svg)
    names = {e.get("id", ""): "" for e in root.iter() if e.get("id")}
    short = {name: f"{prefix}-{place:x}" for place, name in enumerate(names)}
    for element in root.iter():
        for name, value in element.attrib.items():
            element.set(name, _shorter(name, value, short))
    _dissolve(root)
    return ET.tostring(root, encoding="unicode", short_empty_elements=True)


def _shorter(name: str, value: str, short: dict[str, str]) -> str:
    """One attribute: ids are exchanged, numbers rounded, those of curves to a tenth."""
    if name == "id":
        return short[value]
    if name == "href":
        return f"#{short[value[1:]]}" if value[1:] in short else value
    if name in ("d", "points"):
        return _SPACE.sub(r"\1", _rounded(value, 1 if len(value) > LONG_PATH else 2))
    if name in _LENGTHS or name == "transform":
        return _rounded(value, 2)
    return _LINK.sub(lambda link: f"url(#{short.get(link[1], link[1])})", value)


def _rounded(value: str, digits: int) -> str:
    def shortened(match: re.Match[str]) -> str:
        text = f"{float(match[0]):.{digits}f}".rstrip("0").rstrip(".")
        return "0" if text in ("-0", "") else text

    return _NUMBER.sub(shortened, value)


def _dissolve(element: ET.Element) -> None:
    """Put the children of groups without attributes in their place."""
    for child in list(element):
        _dissolve(child)
    children: list[ET.Element] = []
    for child in element:
        children += list(child) if child.tag == "g" and not child.attrib else [child]
    for child in list(element):
        element.remove(child)
    element.extend(children)
