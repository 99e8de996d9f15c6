"""Names in functions: which are local, where they occur, and how to give them other names, in a text or in a tree."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

Function = ast.FunctionDef | ast.AsyncFunctionDef
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def functions(module: ast.Module) -> dict[str, Function]:
    """Module-level functions and the methods of module-level classes, by qualified name (the last of equal names)."""
    found: dict[str, Function] = {}
    for node in module.body:
        if isinstance(node, Function):
            found[node.name] = node
        elif isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{item.name}": item for item in node.body if isinstance(item, Function)}
    return found


def parameters(fn: Function | ast.Lambda) -> list[ast.arg]:
    a = fn.args
    return [*a.posonlyargs, *a.args, *a.kwonlyargs, *(x for x in (a.vararg, a.kwarg) if x)]


def own_nodes(fn: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a function's body that are not in a nested function, class or comprehension."""
    queue = list(ast.iter_child_nodes(fn))
    while queue:
        node = queue.pop(0)
        yield node
        if not isinstance(node, (*_FUNCTIONS, ast.ClassDef, *_COMPREHENSIONS)):
            queue += ast.iter_child_nodes(node)
        elif isinstance(node, _COMPREHENSIONS):
            queue += [walrus for walrus in ast.walk(node) if isinstance(walrus, ast.NamedExpr)]


def bound(fn: Function | ast.Lambda) -> set[str]:
    """Names that a function's own scope binds, parameters included."""
    names = {p.arg for p in parameters(fn)}
    free: set[str] = set()
    for node in own_nodes(fn) if not isinstance(fn, ast.Lambda) else ():
        if isinstance(node, ast.Name) and isinstance(node.ctx, (ast.Store, ast.Del)):
            names.add(node.id)
        elif isinstance(node, (*_FUNCTIONS[:2], ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ExceptHandler) and node.name:
            names.add(node.name)
        elif isinstance(node, (ast.Global, ast.Nonlocal)):
            free |= set(node.names)
    return names - free


def local_names(fn: Function) -> set[str]:
    """Names that can be renamed within `fn` alone: bound by plain assignments, loops and `with`, or as parameters."""
    named_otherwise: set[str] = set()
    for node in ast.walk(fn):
        if isinstance(node, (ast.ClassDef, ast.Match)) or _looks_names_up(node):
            return set()
        if isinstance(node, (ast.Global, ast.Nonlocal)):
            named_otherwise |= set(node.names)
        elif (isinstance(node, ast.ExceptHandler) and node.name) or isinstance(node, _FUNCTIONS[:2]):
            named_otherwise.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            named_otherwise |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
    return bound(fn) - named_otherwise - {"self", "cls", "_", "__class__"}


def _looks_names_up(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("locals", "eval")


def occurrences(fn: Function | ast.Lambda, name: str) -> list[ast.Name | ast.arg]:
    """The nodes that mean `fn`'s own `name`, in nested functions and comprehensions too."""
    out: list[ast.Name | ast.arg] = [p for p in parameters(fn) if p.arg == name]
    body = fn.body if isinstance(fn.body, list) else [fn.body]
    for statement in body:
        _visit(statement, name, out)
    return out


def _visit(node: ast.AST, name: str, out: list[ast.Name | ast.arg]) -> None:
    if isinstance(node, ast.Name):
        if node.id == name:
            out.append(node)
    elif isinstance(node, _FUNCTIONS):
        outside = [*node.args.defaults, *(d for d in node.args.kw_defaults if d), *getattr(node, "decorator_list", [])]
        for part in outside:
            _visit(part, name, out)
        if name not in bound(node):
            for part in node.body if isinstance(node.body, list) else [node.body]:
                _visit(part, name, out)
    elif isinstance(node, _COMPREHENSIONS):
        _visit_comprehension(node, name, out)
    else:
        for child in ast.iter_child_nodes(node):
            _visit(child, name, out)


def _visit_comprehension(node: ast.AST, name: str, out: list[ast.Name | ast.arg]) -> None:
    generators = node.generators  # type: ignore[attr-defined]
    _visit(generators[0].iter, name, out)
    targets = {n.id for g in generators for n in ast.walk(g.target) if isinstance(n, ast.Name)}
    if name in targets:
        return
    for index, generator in enumerate(generators):
        if index:
            _visit(generator.iter, name, out)
        for test in generator.ifs:
            _visit(test, name, out)
    parts = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]  # type: ignore[attr-defined]
    for part in parts:
        _visit(part, name, out)


def used_names(node: ast.AST) -> set[str]:
    """Every identifier that occurs in a tree as a name, a parameter or a keyword."""
    names: set[str] = set()
    for part in ast.walk(node):
        if isinstance(part, ast.Name):
            names.add(part.id)
        elif isinstance(part, (ast.arg, ast.keyword)):
            names.add(part.arg or "")
        elif isinstance(part, (*_FUNCTIONS[:2], ast.ClassDef)):
            names.add(part.name)
        elif isinstance(part, ast.alias):
            names.add((part.asname or part.name).split(".")[0])
        elif isinstance(part, ast.ExceptHandler) and part.name:
            names.add(part.name)
    return names


def rename_nodes(fn: Function, names: Mapping[str, str]) -> None:
    """Give the locals of a function of a syntax tree other names, all at once."""
    found = [(node, names[name]) for name in names for node in occurrences(fn, name)]
    for node, new in found:
        if isinstance(node, ast.arg):
            node.arg = new
        else:
            node.id = new


class Text:
    """A text whose pieces are replaced at the positions of syntax nodes."""

    def __init__(self, text: str) -> None:
        self.lines = [line.encode() for line in text.split("\n")]
        self.changes: list[tuple[int, int, int, bytes]] = []

    def piece(self, node: ast.AST) -> str:
        """What stands at a node that is on one line; empty when it is on several."""
        line, start, last, end = node.lineno, node.col_offset, node.end_lineno, node.end_col_offset  # type: ignore[attr-defined]
        return self.lines[line - 1][start:end].decode() if line == last else ""

    def put(self, node: ast.AST, new: str, length: int | None = None) -> None:
        """Replace a node that is on one line, or the first `length` bytes of it."""
        start = node.col_offset  # type: ignore[attr-defined]
        end = node.end_col_offset if length is None else start + length  # type: ignore[attr-defined]
        self.changes.append((node.lineno - 1, start, end, new.encode()))  # type: ignore[attr-defined]

    def result(self) -> str:
        lines = list(self.lines)
        for line, start, end, new in sorted(self.changes, reverse=True):
            lines[line] = lines[line][:start] + new + lines[line][end:]
        return b"\n".join(lines).decode()
