"""Which file of a tree plays which role, decided by what is in it and by who imports it, not by its name."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import PurePosixPath

from newtfix.code.imports import origin
from newtfix.code.syntax import functions, parse, walk
from newtfix.errors import Refused, TreeError
from newtfix.newt.use import Use, living


@dataclass(frozen=True)
class Role:
    """How a role is recognised.

    `members` are names that the class (or, without a class, the module) defines; `usual` is the file's usual path,
    `cls` the class's usual name, which patches use in their scopes whatever it is called in the tree.
    """

    usual: str
    members: frozenset[str]
    cls: str | None = None


def _role(usual: str, members: str, cls: str | None = None) -> Role:
    return Role(usual, frozenset(members.split()), cls)


ROLES: Mapping[str, Role] = {
    "trainer": _role("trainer.py", "train to_td common_metrics", "Trainer"),
    "agent": _role("tdmpc2.py", "update update_pi _td_target", "TDMPC2"),
    "world_model": _role("common/world_model.py", "encode next reward pi Q", "WorldModel"),
    "layers": _role("common/layers.py", "QOnlineTargetEnsemble mlp"),
    "math": _role("common/math.py", "two_hot two_hot_inv gaussian_logprob"),
    "scale": _role("common/scale.py", "RunningScale"),
    "buffer": _role("common/buffer.py", "add sample", "Buffer"),
    "config": _role("config.py", "horizon batch_size latent_dim", "Config"),
}
REQUIRED = ("trainer", "agent")


@dataclass(frozen=True)
class Found:
    """The file that plays a role, and what its class is called there; `rivals` could play it and are not used."""

    file: str
    cls: str | None
    rivals: tuple[Found, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class Outline:
    """The names a module defines, and those that each of its classes defines."""

    names: frozenset[str]
    classes: Mapping[str, frozenset[str]]
    error: str = ""
    bases: Mapping[str, frozenset[str]] = field(default_factory=dict)


@lru_cache(maxsize=512)
def outline(text: str) -> Outline:
    """Read a module's outline; a module that does not parse has an error and no names."""
    try:
        module = parse(text)
    except (SyntaxError, ValueError) as problem:
        line = getattr(problem, "lineno", None) or 0
        return Outline(frozenset(), {}, f"line {line}: {getattr(problem, 'msg', problem)}")
    nodes = [node for node in module.body if isinstance(node, ast.ClassDef)]
    return Outline(
        names=frozenset(_defined(module.body)),
        classes={node.name: frozenset(_defined(node.body)) for node in nodes},
        bases={node.name: frozenset(ast.unparse(base) for base in node.bases) for node in nodes},
    )


def _defined(body: list[ast.stmt]) -> list[str]:
    names: list[str] = []
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.append(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.append(node.target.id)
        elif isinstance(node, ast.Assign):
            names += [target.id for target in node.targets if isinstance(target, ast.Name)]
    return names


@lru_cache(maxsize=1024)
def _mentioned(text: str) -> frozenset[str]:
    """The roles whose names all occur in a text."""
    return frozenset(name for name, role in ROLES.items() if all(member in text for member in role.members))


def find_roles(sources: Mapping[str, str]) -> dict[str, Found]:
    """The file for every role the tree has: of several that could play one, that which the others import and use.

    Raises TreeError when trainer or agent are missing, or when a file that mentions all of a role's names has a
    syntax error and nothing else plays the role; Refused when two files are equally good.
    """
    return dict(_found_roles(tuple(sources.items())))


@lru_cache(maxsize=64)
def _found_roles(files: tuple[tuple[str, str], ...]) -> Mapping[str, Found]:
    sources = dict(files)
    candidates: dict[str, list[Found]] = {}
    broken: dict[str, str] = {}
    for name, role in ROLES.items():
        for file, text in sources.items():
            if not file.endswith(".py") or name not in _mentioned(text):
                continue
            module = outline(text)
            if module.error:
                broken.setdefault(name, f"{file}, {module.error}")
                continue
            candidates.setdefault(name, []).extend(Found(file, cls) for cls in _playing(role, module))
    found = _chosen(candidates, sources)
    _require(found, broken)
    return found


def without_rivals(sources: Mapping[str, str]) -> Mapping[str, str]:
    """A tree without what lost a role and what belongs to that alone: a copy of the tree within it, say."""
    roles = find_roles(sources)
    rivals = {rival.file: found.file for found in roles.values() for rival in found.rivals}
    return living(sources, [found.file for found in roles.values()], rivals) if rivals else sources


def _chosen(candidates: Mapping[str, Sequence[Found]], sources: Mapping[str, str]) -> dict[str, Found]:
    """One candidate for every role: trainer and agent first, for what they import decides who plays the others."""
    found: dict[str, Found] = {}
    in_use = Use(sources)
    for name in (*REQUIRED, *(role for role in candidates if role not in REQUIRED)):
        several = candidates.get(name, ())
        if len(several) > 1:
            found[name] = _best(name, several, in_use)
        elif several:
            found[name] = several[0]
        if name in REQUIRED and name in found:
            in_use = in_use.with_start(found[name].file)
    return found


def _best(name: str, candidates: Sequence[Found], in_use: Use) -> Found:
    """The candidate that is in use, with the usual names and the shortest path. Raises Refused when two are equal."""

    def worse(one: Found) -> tuple[tuple[int, ...], int, int]:
        role, path = ROLES[name], PurePosixPath(one.file)
        names = {one.cls} if one.cls else role.members
        unusual = (path != PurePosixPath(role.usual)) + (one.cls != role.cls)
        return in_use.distance(one.file, names), unusual, len(path.parts)

    first, *others = sorted(candidates, key=worse)
    if worse(others[0]) == worse(first):
        places = " and ".join(f"{one.cls or 'the functions'} in {one.file}" for one in (first, others[0]))
        raise Refused(
            f"two classes play the role of {name}, and nothing says which one trains",
            where=places,
            hint=f"call the one that is used {ROLES[name].cls or ROLES[name].usual}, or move the other out of the tree",
        )
    return replace(first, rivals=tuple(others))


def _playing(role: Role, module: Outline) -> list[str | None]:
    if role.cls is None:
        return [None] if role.members <= module.names else []
    own: list[str | None] = [cls for cls, members in module.classes.items() if role.members <= members]
    return own or [cls for cls in module.classes if role.members <= _with_bases(cls, module)]


def _with_bases(cls: str, module: Outline) -> frozenset[str]:
    """The names that a class and those of its bases that the module defines itself define."""
    bases = module.bases.get(cls, frozenset()) & module.classes.keys() - {cls}
    return module.classes[cls].union(*(_with_bases(base, module) for base in bases))


def _require(found: Mapping[str, Found], broken: Mapping[str, str]) -> None:
    for name, where in broken.items():
        if name not in found:
            raise TreeError(
                f"the file with the {name} of this tree has a syntax error",
                where=where,
                hint="repair the file (python -m py_compile names the place too), then run the command again",
            )
    missing = [name for name in REQUIRED if name not in found]
    if missing:
        wanted = "; ".join(f"{n}: a class with {', '.join(sorted(ROLES[n].members))}" for n in missing)
        raise TreeError(
            f"no newt-style tree here: no file plays the role of {' and '.join(missing)}",
            where=f"looked for {wanted}",
            hint="point --tree at the folder that holds trainer.py and tdmpc2.py (upstream newt calls it tdmpc2)",
        )


def overrides(sources: Mapping[str, str], found: Found, after: Mapping[str, str], *, relied_on: bool) -> list[str]:
    """Where subclasses define methods anew that were patched in the class that plays a role.

    Args:
        sources: the texts as they were. after: the texts that were patched. relied_on: whether those methods that the
            class itself or its users call with what they know now are meant, or those that stand alone.
    """
    changed = _changed_methods(sources.get(found.file, ""), after.get(found.file, ""), found.cls)
    relied = {name for name in changed if _is_relied_on(name, sources, after, found)}
    places = []
    for file, text in sources.items():
        module = outline(text) if changed and found.cls and file.endswith(".py") and found.cls in text else None
        for cls, bases in (module.bases if module else {}).items():
            derived = any(origin(file, base, sources) == (found.file, found.cls) for base in bases)
            again = module.classes[cls] & changed if module and derived else frozenset()
            own = sorted(name for name in again if (name in relied and not _hands_on(text, cls, name)) is relied_on)
            if own and _class_code(text, cls) == _class_code(after.get(file, text), cls):
                places.append(f"{file}: {cls} has its own {', '.join(own)}")
    return places


def _hands_on(text: str, cls: str, name: str) -> bool:
    """Whether a method returns what that of the base class returns."""
    method = functions(text).get(f"{cls}.{name}")
    returned = [node.value for node in walk(method.node) if isinstance(node, ast.Return)] if method else []
    return bool(returned) and all(
        isinstance(value, ast.Call) and ast.unparse(value.func) == f"super().{name}" for value in returned
    )


def _is_relied_on(name: str, sources: Mapping[str, str], after: Mapping[str, str], found: Found) -> bool:
    """Whether the class calls a method itself, or it takes or returns something else now."""
    was, now = (functions(texts[found.file]).get(f"{found.cls}.{name}") for texts in (sources, after))
    if was is None or now is None or ast.dump(was.node.args) != ast.dump(now.node.args):
        return True
    return _sizes(was.node) != _sizes(now.node) or re.search(rf"\bself\.{name}\b", after[found.file]) is not None


def _sizes(function: ast.AST) -> set[int]:
    """How many values a function returns."""
    returned = (node.value for node in walk(function) if isinstance(node, ast.Return))
    return {len(value.elts) for value in returned if isinstance(value, ast.Tuple)}


def _changed_methods(before: str, now: str, cls: str | None) -> frozenset[str]:
    """The methods of a class that have another code now."""
    was = functions(before)
    changed = (
        name.rpartition(".")[2]
        for name, function in (functions(now) if now else {}).items()
        if function.cls == cls and name in was and was[name].lines != function.lines
    )
    return frozenset(changed) - {"__init__"}


def other_agents(sources: Mapping[str, str], found: Found) -> list[str]:
    """Other classes that act and learn as the agent does: they have its `forward`, with `t0`, and an `update`."""
    places = []
    for file, text in sources.items():
        if not file.endswith(".py") or "t0" not in text or outline(text).error:
            continue
        for node in parse(text).body:
            if isinstance(node, ast.ClassDef) and node.name != found.cls:
                methods = {part.name: part for part in node.body if isinstance(part, ast.FunctionDef)}
                arguments = [one.arg for one in methods["forward"].args.args] if "forward" in methods else []
                if "update" in methods and "t0" in arguments and "return_stats" not in arguments:
                    places.append(f"{file}: {node.name}")
    return places


def _class_code(text: str, name: str) -> str:
    nodes = parse(text).body
    return next((ast.dump(node) for node in nodes if isinstance(node, ast.ClassDef) and node.name == name), "")
