"""What a LaTeX table must be for an engine to take it, checked without one."""

from __future__ import annotations

import re

ESCAPED = re.compile(r"\\(?:[&%$#_{}]|text[a-z]+\{\})|\$[^$]*\$")


def assert_tabular(text: str) -> None:
    """One `tabular` environment; every row has a cell per column; nothing special is left unescaped; ASCII throughout."""
    assert text.isascii()
    first, *body, last, end = text.split("\n")
    opened = re.fullmatch(r"\\begin\{tabular\}\{([lrc]+)\}", first)
    assert opened
    assert (last, end) == (r"\end{tabular}", "")
    rows = [line for line in body if line != r"\hline"]
    assert rows
    assert body[0] == body[-1] == r"\hline"
    for row in rows:
        assert row.endswith(r" \\"), row
        assert not row.lstrip().startswith(("[", "*")), row
        plain = ESCAPED.sub("", row.removeprefix("{}").removesuffix(r" \\"))
        assert plain.count("&") == len(opened[1]) - 1, row
        assert not set(plain.replace("&", "")) & set("\\{}$#%_~^"), row
