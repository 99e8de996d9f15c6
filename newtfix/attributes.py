"""Attributes that only patched code reads and that the tree does not have: a fork may call them otherwise."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from newtfix.syntax import parsed

# Objects whose attributes are the tree's own; those of tensors and the like are not.
_PARTS = frozenset({"cfg", "model", "agent", "env", "buffer", "logger"})
_CALLED = re.compile(r"(cfg|config|args|params|settings)$", re.IGNORECASE)
_INHERITED = frozenset({"training", "train", "eval", "parameters", "forward", "device"})  # from torch.nn.Module


def unknown_attributes(sources: Mapping[str, str], after: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """File, class and attribute of what patched code reads anew and nothing in the tree, or in the patches, defines.

    An attribute of `self` must occur in the class; where that is derived, and for the attributes of its parts, such as
    `self.model`, it must occur in the tree; one of `self.cfg` must be a setting there.
    """
    texts = [text for file, text in sources.items() if file.endswith(".py")]
    defined = frozenset().union(_INHERITED, *map(_defined, after.values()))
    somewhere = defined.union(*map(_read, texts), *map(_defined, texts))
    settings = frozenset().union(*map(_settings, texts), *map(_fields, after.values()))
    for file, text in after.items():
        before = _classes(sources[file])
        for name, cls in _classes(text).items():
            old = before.get(name, _NO_CLASS)
            own = somewhere if cls.derived else old.read | old.defined | cls.defined | _INHERITED
            for owner, attribute in sorted(cls.chains - old.chains):
                if attribute not in {"self": own, "self.cfg": settings}.get(owner, somewhere):
                    yield file, name, f"{owner}.{attribute}"


@dataclass(frozen=True)
class _Class:
    """A class: what it reads from `self` and its parts, as ("self.cfg", "horizon"); all attributes that it reads; what
    it defines; whether it is derived from another one of a tree."""

    chains: frozenset[tuple[str, str]] = frozenset()
    read: frozenset[str] = frozenset()
    defined: frozenset[str] = frozenset()
    derived: bool = False


_NO_CLASS = _Class()


@lru_cache(maxsize=256)
def _classes(text: str) -> dict[str, _Class]:
    return {node.name: _class(node) for node in parsed(text).body if isinstance(node, ast.ClassDef)}


def _class(cls: ast.ClassDef) -> _Class:
    nodes = [node for node in ast.walk(cls) if isinstance(node, ast.Attribute)]
    bases = {ast.unparse(base).rpartition(".")[2] for base in cls.bases}
    chains = {(owner, node.attr) for node in nodes if isinstance(node.ctx, ast.Load) and (owner := _owner(node.value))}
    return _Class(
        frozenset(chains),
        frozenset(node.attr for node in nodes),
        _defined_in(cls),
        bool(bases - {"object", "Module"}),
    )


def _owner(node: ast.expr) -> str:
    """`self`, or one of its parts; "" for anything else."""
    if isinstance(node, ast.Name):
        return "self" if node.id == "self" else ""
    is_part = isinstance(node, ast.Attribute) and node.attr in _PARTS and _owner(node.value) == "self"
    return f"self.{node.attr}" if isinstance(node, ast.Attribute) and is_part else ""


@lru_cache(maxsize=512)
def _read(text: str) -> frozenset[str]:
    """Names of all attributes, of whatever they are."""
    return frozenset(node.attr for node in ast.walk(parsed(text)) if isinstance(node, ast.Attribute))


@lru_cache(maxsize=512)
def _defined(text: str) -> frozenset[str]:
    return _defined_in(parsed(text))


def _defined_in(tree: ast.AST) -> frozenset[str]:
    """Names of functions, classes, fields, and attributes that are set; of buffers that are registered, too."""
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call) and len(node.args) > 1)
    registered = {
        a.value for call in calls for a in call.args[:2] if isinstance(a, ast.Constant) and type(a.value) is str
    }
    named = {node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    stored = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store)}
    return frozenset(named | stored | registered) | _fields_in(tree)


@lru_cache(maxsize=512)
def _fields(text: str) -> frozenset[str]:
    return _fields_in(parsed(text))


def _fields_in(tree: ast.AST) -> frozenset[str]:
    """Names that the bodies of classes set."""
    found: set[str] = set()
    for cls in ast.walk(tree):
        for part in cls.body if isinstance(cls, ast.ClassDef) else ():
            targets = part.targets if isinstance(part, ast.Assign) else [getattr(part, "target", None)]
            found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return frozenset(found)


@lru_cache(maxsize=512)
def _settings(text: str) -> frozenset[str]:
    """Names of fields, and of the attributes of what is called cfg, args or the like."""
    nodes = (node for node in ast.walk(parsed(text)) if isinstance(node, ast.Attribute))
    return _fields(text) | {node.attr for node in nodes if _CALLED.search(ast.unparse(node.value))}
