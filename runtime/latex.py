"""LaTeX tables that need no package: a `tabular` of escaped cells."""

from __future__ import annotations

from collections.abc import Sequence

SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "×": r"$\times$",
    "µ": r"$\mu$",
    "·": r"$\cdot$",
    "²": "$^2$",
} | {sign: "\\" + sign for sign in "&%$#_"}


def escaped(text: str) -> str:
    """A cell's text as LaTeX. A character that a plain pdfLaTeX has no glyph for becomes a question mark."""
    return "".join(SPECIAL.get(sign, sign if sign.isascii() and sign.isprintable() else "?") for sign in text)


def tabular(alignment: str, header: Sequence[str], groups: Sequence[Sequence[Sequence[str]]]) -> str:
    """A table: `header`, then the rows of each of `groups`, with a rule around each part.

    alignment: one of l, r, c per column. Every row has as many cells as `alignment` has letters.
    """
    lines = [rf"\begin{{tabular}}{{{alignment}}}", r"\hline", _line(header), r"\hline"]
    for rows in groups:
        lines += [_line(row) for row in rows] + [r"\hline"]
    return "\n".join([*lines, r"\end{tabular}", ""])


def _line(cells: Sequence[str]) -> str:
    row = " & ".join(map(escaped, cells))
    # The row before ends in \\, which would take either of these for its own option.
    guard = "{}" if row.lstrip().startswith(("[", "*")) else ""
    return guard + row + r" \\"
