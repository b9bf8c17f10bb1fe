"""The scripts of the page, and the policy that lets them run and nothing else."""

import base64
import hashlib
import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Final

OWN: Final = (
    *("dom", "data", "address", "tables", "filters", "explore"),
    *("paint", "curves", "playground", "start"),
)
_LEAVES = re.compile(r"</script|<!--", re.IGNORECASE)  # what would end a script, or hide its end


def own_script() -> str:
    """Our own scripts as one, in an order in which each finds what it needs."""
    parts = [(files("report") / "templates" / f"{name}.js").read_text("utf-8") for name in OWN]
    return _inlined('(() => {\n"use strict";\n\n' + "\n".join(parts) + "})();\n")


@cache
def chart_script() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script that puts `vegaEmbed` into the page.

    Empty where vl-convert-python is not installed: the page then has no charts to explore.
    """
    try:
        import vl_convert  # noqa: PLC0415 - only a page needs it, and it is large
    except ImportError:
        return ""
    return _inlined(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"))


def _inlined(script: str) -> str:
    """A script that may stand inside an element.

    Raises:
        ValueError: it holds letters that would end the element.
    """
    if found := _LEAVES.search(script):
        raise ValueError(f"a script of the page holds {found[0]!r}, which would end it")
    return script


def policy(styles: Sequence[str], scripts: Sequence[str]) -> str:
    """A content security policy under which these styles and scripts act, and nothing loads."""
    return "; ".join(
        (
            "default-src 'none'",
            _allowed("script-src", scripts),
            _allowed("style-src", styles),
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _allowed(directive: str, contents: Sequence[str]) -> str:
    hashes = [f"'sha256-{_digest(content)}'" for content in contents] or ["'none'"]
    return " ".join((directive, *hashes))


def _digest(content: str) -> str:
    return base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
