"""An extension of griffe for our docstrings: roles become links, and what stands for several names is read as such.

``:class:`NAME``` links to NAME where the reference has it. ``width, height: pixels`` describes two attributes or
arguments, and ``ConfigError, DataError: as load`` two errors: griffe would take the second word for a type.
"""

from __future__ import annotations

import re
from html import escape
from typing import Any

import griffe

ROLE = re.compile(r":(?:mod|class|func|meth|attr|data|exc):`~?([\w.]+)`")
_SEVERAL = re.compile(r"^( +)(\w+(?:, \w+)+): (.*(?:\n\1 +\S.*)*)$", flags=re.M)
_PAGE = re.compile(r"docs/([a-z-]+)\.md")


class Roles(griffe.Extension):
    """Rewrites docstrings when a package is complete, so that names resolve."""

    def on_package(self, *, pkg: Any, **_: Any) -> None:
        _rewrite(pkg)


def _rewrite(scope: Any) -> None:
    if scope.docstring is not None:
        text = ROLE.sub(lambda found: _link(scope, found[1]), scope.docstring.value)
        text = _SEVERAL.sub(lambda found: _each(*found.groups()), text)
        # All pages of the reference are in one folder beside the others.
        scope.docstring.value = _PAGE.sub(r'<a href="../\1.html">docs/\1.md</a>', text)
    for member in [*scope.members.values()]:
        if not member.is_alias:
            _rewrite(member)
    if scope.is_class and scope.docstring is not None:
        _complete(scope)


def _complete(scope: Any) -> None:
    """Make members of documented attributes that griffe did not find: it gives them the type of the one before."""
    for section in griffe.parse_google(scope.docstring, warnings=False):
        for each in section.value if section.kind is griffe.DocstringSectionKind.attributes else ():
            if each.name not in scope.all_members:
                scope.set_member(each.name, griffe.Attribute(each.name))


def _each(indent: str, names: str, said: str) -> str:
    """An entry for each of several names."""
    return "\n".join(f"{indent}{name}: {said}" for name in names.split(", "))


def _link(scope: Any, name: str) -> str:
    """A reference to a name as ``scope`` understands it; plain code if the reference does not have it."""
    first, _, rest = name.partition(".")
    try:
        path = scope.resolve(first)
    except griffe.NameResolutionError:
        path = first
    path = f"{path}.{rest}" if rest else path
    return f'<autoref identifier="{escape(path)}" optional><code>{escape(name)}</code></autoref>'
