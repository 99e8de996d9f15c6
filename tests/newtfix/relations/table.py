"""Small trees in which a relation holds, or is broken, or cannot be told: one statement each."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from newtfix.facts.relations import broken
from newtfix.model import Fact
from newtfix.newt.roles import ROLES, Found
from newtfix.newt.tree import NewtTree

# Statements that give {x} another value.
BINDS = (
    "{x} = t",
    "{x}, y = t, flag",
    "y, *{x} = t",
    "[{x}, y] = t",
    "y, (z, {x}) = t",
    "{x}: object = t",
    "y = {x} = t",
    "with t as {x}:\n    t()",
    "with t as (y, {x}):\n    t()",
    "for {x} in t:\n    t()",
    "for i, {x} in enumerate(t):\n    t()",
    "for y, {x} in zip(t, flag):\n    t()",
    "del {x}",
    "del y, {x}",
    "try:\n    {x} = t\nexcept ValueError:\n    t()",
    "try:\n    t()\nexcept ValueError:\n    {x} = t\nfinally:\n    pass",
    "match t:\n    case 1:\n        {x} = t",
    "if flag:\n    {x} = t",
    "while flag:\n    {x} = t",
)
# The same for attributes.
SETS = (
    "setattr({o}, '{a}', t)",
    "object.__setattr__({o}, '{a}', t)",
    "{o}.__setattr__('{a}', t)",
    "{o}.__dict__['{a}'] = t",
    "vars({o})['{a}'] = t",
    "delattr({o}, '{a}')",
    "{o}.register_buffer('{a}', t)",
    "me = {o}\nme.{a} = t",
    "for me in ({o},):\n    me.{a} = t",
    "def inner():\n    {x} = t\ninner()",
)
# Statements that change what {x} has.
CHANGES = (
    "{x} += t",
    "{x}[0] = t",
    "{x}[:, 1] += t",
    "{x}[0], y = t, flag",
    "del {x}[0]",
    "for {x}[0] in t:\n    t()",
    "with t as {x}[0]:\n    t()",
    "{x}.mul_(2)",
    "{x}[0].zero_()",
    "{x}.view(-1).mul_(2)",
    "{x}.T.mul_(2)",
    "{x}.data.copy_(t)",
    "{x}.data = t",
    "{x}.__imul__(2)",
    "{x}.__setitem__(0, t)",
    "y = {x}\ny.zero_()",
    "y = {x}[0]\ny += 1\nt(y)",
    "y, z = {x}, t\ny.zero_()",
    "y, *z = {x}\ny.zero_()",
    "(y := {x}).zero_()",
    "y: object = {x}\ny[0] = t",
    "y = {x}.unsqueeze(0)\ny[0] = t",
    "for y in {x}:\n    y.zero_()",
    "for i, y in enumerate({x}):\n    y[0] = i",
    "for y, z in zip({x}, t):\n    y.copy_(z)",
    "for y in ({x}, t):\n    y.zero_()",
    "[y.zero_() for y in {x}]",
    "match {x}:\n    case y:\n        y.zero_()",
    "torch.mul(t, 2, out={x})",
    "torch.sort(t, out=({x}, flag))",
    "np.copyto({x}, t)",
    "np.add.at({x}, 0, 1)",
    "torch.nn.init.zeros_({x})",
    "torch.nn.init.constant_(tensor={x}, val=0)",
    "F.relu({x}, inplace=True)",
    "F.relu(input={x}, inplace=True)",
    "torch._foreach_mul_([{x}], 2)",
    "operator.imul({x}, 2)",
    "y = {{'a': {x}}}\ny['a'].zero_()",
    "y = [{x}]\ny[0].zero_()",
    "y = {x} if flag else t\ny.zero_()",
    "y = t or {x}\ny.zero_()",
    "zero({x})",
    "zero(x={x})",
    "zero_it({x})",
    "def inner():\n    {x}.zero_()\ninner()",
    "with torch.no_grad():\n    {x}.zero_()",
)
READS = (
    "y = {x}",
    "y = {x}[0] + 1",
    "{x} += 1",
    "t({x})",
    "t(y={x})",
    "return {x}",
    "yield {x}",
    "y = t if flag else {x}",
    "y = f'{{{x}}}'",
    "y = [z for z in {x}]",
    "for y in {x}:\n    t()",
    "with {x} as y:\n    t()",
    "match {x}:\n    case 1:\n        t()",
    "y = {{'a': {x}}}",
    "y = [*{x}]",
    "if (y := {x}) is None:\n    t()",
    "while {x}:\n    t()",
    "def inner():\n    return {x}\ninner()",
    "y = lambda: {x}",
    "getattr({o}, '{a}')",
    "vars({o})['{a}']",
    "{o}.__dict__['{a}']",
    "operator.attrgetter('{a}')({o})",
    "me = {o}\ny = me.{a}",
    "me, y = {o}, t\ny = me.{a}",
)
CALLS = (
    "{x}(t)",
    "y = {x}(t)",
    "y, z = {x}(t), t",
    "f = {x}\nf(t)",
    "f, y = {x}, t\nf(t)",
    "f: object = {x}\nf(t)",
    "(f := {x})(t)",
    "me = {o}\nme.{a}(t)",
    "getattr({o}, '{a}')(t)",
    "f = getattr({o}, '{a}')\nf(t)",
    "vars({o})['{a}'](t)",
    "operator.attrgetter('{a}')({o})(t)",
    "f = partial({x}, t)\nf()",
    "f = torch.compile({x})\nf(t)",
    "f = torch.compile(mode='max')({x})\nf(t)",
    "f = {x} if flag else t\nf(t)",
    "for f in ({x}, t):\n    f(t)",
    "if {x}(t):\n    t()",
    "y = [{x}(z) for z in t]",
    "with {x}(t):\n    t()",
    "def inner():\n    return {x}(t)\ninner()",
    "f = lambda: {x}(t)\nf()",
    "try:\n    {x}(t)\nfinally:\n    pass",
)
DIVIDES = (
    "y = {x} / t",
    "y = {x} // t",
    "y = {x}.div(t)",
    "y = {x}.div_(t)",
    "y = torch.div({x}, t)",
    "y = torch.true_divide(input={x}, other=t)",
    "y = operator.truediv({x}, t)",
    "y = {x} * (1 / t)",
    "y = t.reciprocal() * {x}",
    "y = {x} * t ** -1",
    "y = {x}.mul(1 / t)",
    "if (y := {x} / t) is None:\n    t()",
    "y: object = {x} / t",
    "y = [z / t for z in {x}]",
    "y = {x}\nz = y / t",
    "y, z = {x}, t\nz = y / t",
    "if (y := {x}) is not None:\n    z = y / t",
)


def forms(kinds: Iterable[str], name: str, but: Sequence[str] = ()) -> tuple[str, ...]:
    """Statements of some kinds about an attribute or a variable; `but`: parts of those that are not meant."""
    owner, _, last = name.rpartition(".")
    made = [form for form in kinds if not any(part in form for part in but)]
    return tuple(form.format(x=name, o=owner, a=last) for form in made)


def method(header: str, *codes: str) -> tuple[str, ...]:
    """Methods with this header, one for each body."""
    return tuple(f"def {header}:\n{textwrap.indent(code, '    ')}" for code in codes)


@dataclass(frozen=True)
class Table:
    """What is said of a tree with one of several statements in it.

    `text` holds files, each behind a line `=== NAME`; HERE stands for the statements, METHODS for a method that has
    them, or for methods. A row may end with files of its own.
    """

    about: tuple[str, ...]
    text: str
    holds: Sequence[str]
    broken: Sequence[str]
    keys: tuple[str, ...] = ()

    def tree(self, row: str) -> NewtTree:
        code, *more = row.partition("=== ")
        files = dict(_files(self.text + "".join(more) if more[0] else self.text))
        files = {name: _filled(text, code.strip("\n")) for name, text in files.items()}
        roles = {name: Found(role.usual, role.cls) for name, role in ROLES.items() if role.usual in files}
        return NewtTree(files, roles)


def _files(text: str) -> Iterator[tuple[str, str]]:
    for part in text.split("=== ")[1:]:
        name, _, code = part.partition("\n")
        yield name.strip(), textwrap.dedent(code)


def _filled(text: str, code: str) -> str:
    lines = []
    for line in text.splitlines():
        indent, word = line[: len(line) - len(line.lstrip())], line.strip()
        given = code
        if word == "METHODS" and not re.match(r"@|def \w+\(self", code):
            given = "def step(self, t, flag):\n" + textwrap.indent(code, "    ")
        lines.append(textwrap.indent(given, indent) if word in ("HERE", "METHODS") else line)
    return "\n".join(lines) + "\n"


def told(relation: str, table: Table, row: str) -> str:
    """What is said of a row, with the code that stands at the place that is named: "" where the relation holds."""
    tree = table.tree(row)
    for file, text in tree.sources.items():
        compile(text, file, "exec")
    found = broken(tree, (Fact(relation, table.about, keys=table.keys),))
    if found is None:
        return ""
    line = tree.line(found.file, found.line)
    assert line and found.what.endswith(f": {line}"), f"no code stands at {found.file}:{found.line}: {found.what}"
    return found.what
