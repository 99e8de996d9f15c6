"""What a tree does elsewhere with what a patch changes: saves, averages, compiles, copies, waits."""

from __future__ import annotations

import ast

from newtfix.code.names import bindings
from newtfix.code.paths import path_to
from newtfix.code.syntax import dotted, is_call, last_name, reads_any, walk
from newtfix.newt.tree import Broken, NewtTree

_ALARMS = frozenset("alarm setitimer dump_traceback_later wait_for timeout timeout_at".split())
_TO_HOST = frozenset("item tolist numpy cpu".split())


def without_deadline(tree: NewtTree, role: str) -> Broken | None:
    """Nothing in the file of a role ends what takes too long."""
    found = tree.roles.get(role)
    for node in walk(tree.module(found.file)) if found is not None else ():
        waits = is_call(node, "Timer") and len(node.args) > 1  # others measure
        if found is not None and (waits or is_call(node, *_ALARMS)):
            return tree.broken_in(found.file, node, "this ends what takes longer than it does now")
    return None


def averages_nowhere(tree: NewtTree, role: str, *methods: str) -> Broken | None:
    """Neither these methods nor functions of the tree that they call average anything."""
    for method in (one for name, one in tree.methods(role).items() if name in methods):
        called = (tree.called(role, node) for node in walk(method.node) if isinstance(node, ast.Call))
        for one in (method, *(one for one in called if one is not None)):
            for node in walk(one.node):
                if is_call(node, "mean", "nanmean"):
                    return tree.broken(one, node, f"{one.name} averages already")
    return None


def asks_not_for(tree: NewtTree, role: str, setting: str, *but: str) -> Broken | None:
    """No function in the file of a role reads a setting, but these."""
    found = tree.roles.get(role)
    for function in walk(tree.module(found.file)) if found is not None else ():
        if found is None or not isinstance(function, ast.FunctionDef) or function.name in but:
            continue
        for node in walk(function):
            if isinstance(node, ast.Attribute) and node.attr == setting:
                return tree.broken_in(found.file, node, f"{function.name} goes by {setting} already")
    return None


def saves_all(tree: NewtTree, word: str) -> Broken | None:
    """What saves something names no such part of it."""
    for file in tree.files_with("save", word):
        for function in (node for node in walk(tree.module(file)) if isinstance(node, ast.FunctionDef)):
            nodes = walk(function)
            if not any(isinstance(one, ast.Call) and dotted(one.func) == "torch.save" for one in nodes):
                continue
            for node in nodes:
                text = node.value if isinstance(node, ast.Constant) else ""
                if isinstance(text, str) and word in text.split("."):
                    return tree.broken_in(file, node, f"{function.name} treats the {word} in another way")
    return None


def decided_without(tree: NewtTree, role: str, setting: str, *called: str) -> Broken | None:
    """Whether one of these is called does not go by a setting."""
    for method in tree.methods(role).values():
        for node in walk(method.node):
            if is_call(node, *called):
                for around in path_to(method.node, node):
                    if isinstance(around, (ast.If, ast.IfExp)) and reads_any(around.test, setting):
                        return tree.broken(method, node, f"{setting} decides whether this is done")
    return None


def copied_with_nothing_compiled(tree: NewtTree, role: str, cls: str) -> Broken | None:
    """No other class than this one of a role compiles a method of its own and is copied."""
    found = tree.roles.get(role)
    for file in tree.files_with("deepcopy") if found is not None else ():
        copied = {
            dotted(node.args[0])
            for node in walk(tree.module(file))
            if is_call(node, "deepcopy") and len(node.args) == 1
        }
        copied -= {""}
        for other in (node for node in walk(tree.module(file)) if isinstance(node, ast.ClassDef)):
            made = [
                (target, last_name(value.func))
                for node in walk(other)
                for target, value, _ in bindings(node)
                if isinstance(value, ast.Call) and dotted(target) in copied
            ]
            for target, name in made:
                if name != cls and (line := _compiling(tree, file, name)) is not None:
                    return tree.broken_in(file, line, f"copies of {dotted(target)} share what {name} compiles")
    return None


def _compiling(tree: NewtTree, file: str, cls: str) -> ast.AST | None:
    for one in (node for node in walk(tree.module(file)) if isinstance(node, ast.ClassDef) and node.name == cls):
        for node in walk(one):
            for target, value, _ in bindings(node):
                parts = walk(value) if value is not None and dotted(target).startswith("self.") else []
                if any(isinstance(part, ast.Call) and dotted(part.func) == "torch.compile" for part in parts):
                    return node
    return None


def alone_of_its_name(tree: NewtTree, role: str, owner: str, word: str) -> Broken | None:
    """Of the methods of `owner` with a word in their names, a role calls the one of that name alone."""
    for method in tree.methods(role).values():
        for node in walk(method.node):
            called = dotted(node.func) if isinstance(node, ast.Call) else ""
            if (
                called.rpartition(".")[0] == owner
                and word in called.removeprefix(owner)
                and called != f"{owner}.{word}"
            ):
                return tree.broken(method, node, f"{called} does a part of what {word} does")
    return None


def traceable(tree: NewtTree, cls: str, method: str) -> Broken | None:
    """A method of a class takes nothing to the host, and has no branch where the tree compiles whole graphs."""
    whole = any(
        keyword.arg == "fullgraph" and not (isinstance(keyword.value, ast.Constant) and keyword.value.value is False)
        for file in tree.files_with("fullgraph")
        for node in walk(tree.module(file))
        if isinstance(node, ast.Call)
        for keyword in node.keywords
    )
    for file in tree.files_with(cls):
        for one in (node for node in walk(tree.module(file)) if isinstance(node, ast.ClassDef) and node.name == cls):
            own = [node for node in one.body if isinstance(node, ast.FunctionDef) and node.name == method]
            for node in (part for function in own for part in walk(function)):
                if is_call(node, *_TO_HOST) or (whole and isinstance(node, (ast.If, ast.While))):
                    return tree.broken_in(file, node, f"{method} cannot be compiled with what calls it")
    return None
