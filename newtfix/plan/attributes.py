"""Attributes that only patched code reads and that the tree does not have: a fork may call them otherwise."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from newtfix.code.imports import origin
from newtfix.code.syntax import nodes, parsed, walk, words
from newtfix.newt.roles import Found, find_roles

# Objects whose attributes are the tree's own; those of tensors and the like are not.
_PARTS = frozenset({"cfg", "model", "agent", "env", "buffer", "logger"})
_CALLED = re.compile(r"(cfg|config|args|params|settings)$", re.IGNORECASE)
# Settings of newt that patches replace by others.
_RETIRED = frozenset(
    "seeding_coef constrained_planning prior_coef scale_threshold constraint_start_step constraint_final_step "
    "entropy_coef min_std rho num_envs world_size episode_length log_std_min log_std_max".split()
)
_INHERITED = frozenset({"training", "train", "eval", "parameters", "forward", "device"})  # from torch.nn.Module


def unknown_attributes(sources: Mapping[str, str], after: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """File, class and attribute of what patched code reads anew and nothing in the tree, or in the patches, defines.

    An attribute of `self` must occur in the class; where that is derived, and for the attributes of its parts, such as
    `self.model`, it must occur in the tree; one of `self.cfg` must be a setting there, not one of a part of them.
    """
    config = find_roles(sources).get("config")
    texts = [text for file, text in sources.items() if file.endswith(".py")]
    defined = frozenset().union(_INHERITED, *map(_defined, after.values()))
    now = {file: text for file, text in {**sources, **after}.items() if file.endswith(".py")}
    fields = _fields_of(config, now) if config else frozenset()
    for file, text in after.items():
        before = _classes(sources[file])
        for name, cls in _classes(text).items():
            old = before.get(name, _NO_CLASS)
            for owner, attribute in sorted(cls.chains - old.chains):
                if owner == "self.cfg":
                    known = attribute in fields or _any_has(texts, attribute, _settings_read)
                elif owner == "self" and not cls.derived:
                    known = attribute in old.read | old.defined | cls.defined | _INHERITED
                else:
                    known = attribute in defined or _any_has(texts, attribute, _read, _defined)
                if not known:
                    yield file, name, f"{owner}.{attribute}"


def _fields_of(config: Found, texts: Mapping[str, str]) -> frozenset[str]:
    """Names that the bodies of the class with the settings, and of those that it is derived from, set."""
    found: dict[tuple[str, str], ast.ClassDef] = {}
    pending = [(config.file, config.cls or "")]
    while pending:
        file, name = pending.pop()
        body = parsed(texts[file]).body if file in texts and (file, name) not in found else []
        for node in body:
            if isinstance(node, ast.ClassDef) and node.name == name:
                found[file, name] = node
                pending += [origin(file, ast.unparse(base), texts) for base in node.bases]
    return _fields_in(list(found.values()))


def _any_has(texts: Sequence[str], name: str, *kinds: Callable[[str], frozenset[str]]) -> bool:
    """Whether some text has the name among those of one of these kinds; only texts with the word are parsed."""
    return any(name in words(text) and any(name in kind(text) for kind in kinds) for text in texts)


def unread_settings(sources: Mapping[str, str], after: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """File and name of settings of a fork's own that only code read which the patches replaced."""
    for file, text in after.items():
        for name in sorted(_settings_read(sources[file]) - _settings_read(text) - _RETIRED):
            others = (one for path, one in {**sources, **after}.items() if path.endswith(".py"))
            if not _any_has(list(others), name, _settings_read):
                yield file, name


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
    everything = walk(cls)
    attributes = [node for node in everything if isinstance(node, ast.Attribute)]
    bases = {ast.unparse(base).rpartition(".")[2] for base in cls.bases}
    chains = {
        (owner, node.attr) for node in attributes if isinstance(node.ctx, ast.Load) and (owner := _owner(node.value))
    }
    return _Class(
        frozenset(chains),
        frozenset(node.attr for node in attributes),
        _defined_in(everything),
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
    return frozenset(node.attr for node in nodes(text) if isinstance(node, ast.Attribute))


@lru_cache(maxsize=512)
def _defined(text: str) -> frozenset[str]:
    return _defined_in(nodes(text))


def _defined_in(everything: Sequence[ast.AST]) -> frozenset[str]:
    """Names of functions, classes, fields, and attributes that are set; of buffers that are registered, too."""
    found: set[str] = set()
    for node in everything:
        if isinstance(node, ast.Attribute):
            if isinstance(node.ctx, ast.Store):
                found.add(node.attr)
        elif isinstance(node, ast.Call):
            given = node.args[:2] if len(node.args) > 1 else ()
            found |= {a.value for a in given if isinstance(a, ast.Constant) and isinstance(a.value, str)}
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
    return frozenset(found) | _fields_in(everything)


def _fields_in(everything: Sequence[ast.AST]) -> frozenset[str]:
    """Names that the bodies of classes set."""
    found: set[str] = set()
    for cls in everything:
        for part in cls.body if isinstance(cls, ast.ClassDef) else ():
            targets = part.targets if isinstance(part, ast.Assign) else [getattr(part, "target", None)]
            found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return frozenset(found)


@lru_cache(maxsize=512)
def _settings_read(text: str) -> frozenset[str]:
    attributes = (node for node in nodes(text) if isinstance(node, ast.Attribute))
    return frozenset(node.attr for node in attributes if _CALLED.search(_last_name(node.value)))


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
