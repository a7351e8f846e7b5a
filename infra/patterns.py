"""Patterns on the paths of photos, for ``--include``, ``--exclude`` and the rules of a config.

    *.jpg             without a slash: the file's name, in any folder
    albums/*/*.jpg    with a slash: the whole path; * and ? stop at slashes, [abc] is one of these
    albums/**/*.jpg   ** is any number of folders, none included
    albums/           ending in a slash: everything below that folder

Upper and lower case are the same: cameras write ``IMG_1.JPG``.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

from infra.errors import ConfigError

TOKEN = re.compile(r"(?P<folders>(?<![^/])\*\*/)|(?P<all>\*\*)|(?P<some>\*)|(?P<one>\?)|(?P<set>\[[^\]]+\])")
SPECIAL = re.compile(r"[\\^&~|\[\]]")


def matches(path: str, patterns: Iterable[str]) -> bool:
    """Whether any of ``patterns`` matches ``path``."""
    return any(_compiled(pattern).fullmatch(path) for pattern in patterns)


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    anchored = "/" in pattern
    text = pattern.removeprefix("/")
    if text.endswith("/"):
        text += "**"
    expression, end = "" if anchored else "(?:.*/)?", 0
    for token in TOKEN.finditer(text):
        expression += re.escape(text[end : token.start()]) + _meaning(token)
        end = token.end()
    try:
        return re.compile(expression + re.escape(text[end:]), re.DOTALL | re.IGNORECASE)
    except re.error as error:
        raise ConfigError(f"'{pattern}' is no pattern: {error}") from error


def _meaning(token: re.Match[str]) -> str:
    fixed = {"folders": "(?:.*/)?", "all": ".*", "some": "[^/]*", "one": "[^/]"}
    if token.lastgroup in fixed:
        return fixed[token.lastgroup]
    members = token.group()[1:-1]
    negation = "^" if members[0] in "!^" else ""
    return f"(?!/)[{negation}{SPECIAL.sub(_escaped, members[len(negation) :])}]"


def _escaped(special: re.Match[str]) -> str:
    return "\\" + special.group()
