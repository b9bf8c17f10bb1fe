"""From one matplotlib figure to the SVG that a page inlines and the PNG beside the Markdown."""

import base64
import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any
from xml.etree import ElementTree as ET

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from report.palette import INK, THEME

_SVG, _XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
LARGE_PICTURE = 30_000  # characters of base64
_SHARED = {"stroke-linejoin": "round", "stroke-linecap": "butt"}  # matplotlib's own stylesheet


@dataclass(frozen=True, slots=True)
class Drawing:
    """One figure in both forms; the SVG has no style attribute, so a strict policy can hold."""

    name: str  # also the file name of the PNG and the prefix of every id
    svg: str
    png: bytes
    width: float  # points
    height: float  # points
    figure: Figure | None = field(compare=False, repr=False)  # laid out, for other forms

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process gets both forms, not the figure that they were drawn from."""
        return Drawing, (self.name, self.svg, self.png, self.width, self.height, None)


@contextmanager
def house_style() -> Iterator[None]:
    """Draw by house.mplstyle over matplotlib's own defaults, whatever the user's settings are."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rc_file(str(files("report") / "house.mplstyle"), use_default_template=False)
        yield


def draw(figure: Figure, name: str) -> Drawing:
    """Draw a figure once, and keep it as SVG text and as opaque PNG bytes."""
    text, image = io.StringIO(), io.BytesIO()
    with warnings.catch_warnings():
        # A name may hold letters that DejaVu Sans lacks; the reader's browser has them.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(text, format="svg", metadata=_METADATA, transparent=True)
        figure.set_layout_engine("none")  # laid out once, identical in both forms
        figure.savefig(image, format="png", metadata={"Software": None})
    width, height = (float(inches) * 72 for inches in figure.get_size_inches())
    return Drawing(name, _inline(text.getvalue(), name), _palette_png(image), width, height, figure)


def _inline(svg: str, prefix: str) -> str:
    """SVG that can stand inside a page: ids prefixed, colours following the page's theme."""
    root = ET.fromstring(svg.partition("?>")[2])
    used = _references(root)
    for element in list(root.iter()):
        _rewrite(element, prefix, used)
    _drop_empty(root)
    view = root.get("viewBox", "0 0 100 100")
    root.attrib.clear()
    root.attrib.update({"viewBox": view, "class": "drawing", "aria-hidden": "true", **_SHARED})
    return ET.tostring(root, encoding="unicode", short_empty_elements=False)


def _references(root: ET.Element) -> frozenset[str]:
    """Every id that something in the drawing points to."""
    links = {e.get(f"{_XLINK}href", "").removeprefix("#") for e in root.iter()}
    values = " ".join(value for e in root.iter() for value in e.attrib.values())
    return frozenset(links | set(_REFERENCE.findall(values)))


def _rewrite(element: ET.Element, prefix: str, used: frozenset[str]) -> None:
    """Make one element plain: no namespace, no style attribute, ids of its own."""
    element.tag = element.tag.removeprefix(_SVG)
    element.tail = None
    if element.text and element.tag != "text":
        element.text = None
    attributes = dict(element.attrib)
    element.attrib.clear()
    declared = _declarations(attributes.pop("style", ""))
    for name, value in {**attributes, **declared}.items():
        written = _attribute(name.replace(_XLINK, ""), value, prefix, used)
        if written is not None:
            element.set(*written)


def _declarations(style: str) -> dict[str, str]:
    """A style attribute as presentation attributes, less the font family, which the page sets."""
    pairs = (part.partition(":") for part in style.split(";") if part.strip())
    named = {name.strip(): value.strip() for name, _, value in pairs}
    return {name: value for name, value in named.items() if name != "font-family"}


def _attribute(name: str, value: str, prefix: str, used: frozenset[str]) -> tuple[str, str] | None:
    """One attribute as the page wants it, or None where it says nothing."""
    if name == "id":
        return (name, f"{prefix}-{value}") if value in used else None
    if name == "transform" and value.startswith("rotate(-0 "):
        return None
    if name == "image-rendering":
        return None  # browsers smooth a picture of 48 x 48 pixels well
    if name == "href" and value.startswith("data:"):
        return name, _smaller("".join(value.split()))
    if name == "href":
        return name, f"#{prefix}-{value.removeprefix('#')}"
    if name in ("d", "points"):
        return name, _shorter(value)
    if name in ("fill", "stroke") and value in THEME:
        return name, "currentColor" if value == INK else f"var(--{THEME[value][0]})"
    return name, _REFERENCE.sub(rf"url(#{prefix}-\1)", value)


def _palette_png(stream: io.BytesIO) -> bytes:
    """An opaque PNG of 128 colours and a white that stays white, a quarter of its size."""
    whole = Image.open(stream).convert("RGB")
    few = whole.quantize(128, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    places = np.where((np.asarray(whole) == 255).all(axis=2), 128, np.asarray(few))
    colours = np.full((129, 3), 255, dtype=np.uint8)
    found = np.array(few.getpalette() or [], dtype=np.uint8).reshape(-1, 3)[:128]
    colours[: len(found)] = found
    result, small = Image.fromarray(places.astype(np.uint8)), io.BytesIO()
    result.putpalette(colours.tobytes())
    result.save(small, "png")
    return small.getvalue()


def _smaller(address: str) -> str:
    """A large embedded picture with 64 colours, a fifth of its size; a small one as it is."""
    kind, _, data = address.partition(",")
    if len(data) < LARGE_PICTURE:
        return address
    stream = io.BytesIO()
    picture = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGBA")
    picture.quantize(64, method=Image.Quantize.FASTOCTREE).save(stream, "png", optimize=True)
    return f"{kind},{base64.b64encode(stream.getvalue()).decode()}"


def _shorter(path: str) -> str:
    """A path to a hundredth of a point."""
    path = re.sub(r"-?\d+\.\d+", lambda match: f"{float(match[0]):.2f}", path)
    return " ".join(path.replace(".00 ", " ").split())


def _drop_empty(element: ET.Element) -> None:
    """Remove groups that hold nothing, from the leaves up, and invisible patches."""
    for child in list(element):
        _drop_empty(child)
        invisible = child.get("fill") == "none" and child.get("stroke") in (None, "none")
        empty = child.tag in ("g", "defs") and len(child) == 0
        if child.tag in ("style", "metadata") or empty or (child.tag == "path" and invisible):
            element.remove(child)
