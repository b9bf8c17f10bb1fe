"""A table as LaTeX: booktabs rules, every cell escaped, as wide as the page at the most."""

from typing import Final

from report.document import Table
from report.escaping import LONGEST_CELL, visible

# What LaTeX would take for more than a letter, and typographic signs that pdfTeX's default
# encoding lacks. Letters of Latin-1 stay; any other letter is spelled as its code point.
_WRITTEN: Final = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\textasciigrave{}",
    '"': "{''}",
    "[": "{[}",  # after a line end it would open an argument
    "]": "{]}",
    "*": "{*}",
    "-": "{-}",  # two of them would become one dash
    "−": "$-$",
    "×": r"$\times$",
    "±": r"$\pm$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "√": r"$\surd$",
    "²": r"\textsuperscript{2}",
    "³": r"\textsuperscript{3}",
    "ⁿ": r"\textsuperscript{n}",
    "µ": r"$\mu$",
    "μ": r"$\mu$",
    "†": r"\dag{}",
    "·": r"$\cdot$",
    "–": "--",
    "…": r"\ldots{}",
    "“": "``",
    "”": "''",
    "‘": "`",
    "’": "'",
}
LAST_LATIN: Final = 0xFF
_UNSET: Final = "«»ÐÞðþ"  # of Latin-1, but not of the encoding that pdfTeX begins with


def latex(text: object, longest: int = LONGEST_CELL) -> str:
    """Text that LaTeX sets as it is."""
    return "".join(_written(letter) for letter in visible(text, longest))


def _written(letter: str) -> str:
    if letter in _WRITTEN:
        return _WRITTEN[letter]
    if ord(letter) <= LAST_LATIN and letter not in _UNSET:
        return letter
    return f"U+{ord(letter):04X}"


def render_latex(table: Table, label: str) -> str:
    """One `table` environment; it needs the packages booktabs and graphicx and nothing else.

    Args:
        label: of plain letters, after `tab:`.
    """
    sides = "".join("r" if table.is_numeric(i) else "l" for i in range(len(table.header)))
    rows = [
        " & ".join(_strong(cell) if number in table.strong else latex(cell) for cell in row)
        for number, row in enumerate(table.rows)
    ]
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{latex(table.caption)}}}",
        rf"\label{{tab:{label}}}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{sides}}}",
        r"\toprule",
        " & ".join(map(latex, table.header)) + r" \\",
        r"\midrule",
        *(rf"{row} \\" for row in rows),
        r"\bottomrule",
        r"\end{tabular}}",
        *([rf"\par\smallskip\footnotesize {latex(table.note, 2_000)}"] if table.note else []),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _strong(cell: str) -> str:
    return rf"\textbf{{{latex(cell)}}}" if cell else ""
