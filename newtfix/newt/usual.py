"""Attributes that a tree calls otherwise than newt does, under newt's names.

Patches speak of `self._tds` or `self._pi_loss`. Where a tree has other names for these, told by what they are made of,
it is planned with newt's names in their place, and the result gets the tree's own ones back.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from newtfix.code.syntax import parsed, walk
from newtfix.code.view.aliases import Vocabulary
from newtfix.model import EditReport, PatchReport, Place, Plan
from newtfix.newt.roles import Found

# Patterns see these in the place of names that code gives them.
SPELLED_OUT = Vocabulary(
    config="self.cfg",
    settings=("self._update_freq", "self._seed_steps"),
    parts=("self.env", "self.agent", "self.buffer", "self.model", "self._Qs", "self.rho", "self.scale", "self._tds"),
    bounds=("seeding_coef", "_seed_steps"),
    count="self._step",
)
# Methods of newt and its relatives, which mean something to what reads a tree.
METHODS = frozenset(
    """
    Q V add act act_greedily api_model_conversion capacity cap_at common_metrics empty_metrics enc encode eval
    hard_update_target load load_demos log_pi_action mlp mppi next next_episode_id num_eps pi pi_loss plan policy
    reset reward sample save set_storage_device soft_update_target soft_update_target_Q split_by_rank step task_emb
    termination to to_td total_params track_grad track_q_grad train transform update update_model update_pi update_Q
    """.split()
    + """
    _alternate_pc_pi_loss _constrained_pi_loss _estimate_value _forward _forward_impl _loss_fn _maybe_compile _mppi
    _pi _pi_loss _plan _positions _prepare_batch _reserve_buffer _sample_pi_trajs _td_target _to_device _update
    """.split()
)
_FREQUENCY = {"num_envs", "episode_length", "world_size"}


@dataclass(frozen=True)
class Names:
    """For files of a tree, pairs of a name of its own and newt's."""

    files: Mapping[str, tuple[tuple[str, str], ...]]

    def usual(self, sources: Mapping[str, str]) -> dict[str, str]:
        """The texts with newt's names."""
        return {file: _renamed(text, self.files.get(file, ())) for file, text in sources.items()}

    def own(self, text: str, file: str | None = None) -> str:
        """A text with the tree's names: of a file, or one that speaks of several."""
        pairs = [pair for name, pairs in self.files.items() if file in (None, name) for pair in pairs]
        return _renamed(text, [(usual, own) for own, usual in pairs])

    def report(self, report: PatchReport) -> PatchReport:
        return replace(report, edits=tuple(self._edit(edit) for edit in report.edits))

    def plan(self, plan: Plan, sources: Mapping[str, str]) -> Plan:
        return replace(
            plan,
            reports={name: self.report(report) for name, report in plan.reports.items()},
            before={file: sources[file] for file in plan.before},
            after={file: self.own(text, file) for file, text in plan.after.items()},
            notes=tuple(map(self.own, plan.notes)),
        )

    def _edit(self, edit: EditReport) -> EditReport:
        places = tuple(map(self._place, edit.places))
        candidate = None if edit.candidate is None else self._place(edit.candidate)
        return replace(edit, places=places, candidate=candidate, found=self.own(edit.found))

    def _place(self, place: Place) -> Place:
        return replace(place, text=self.own(place.text, place.file))


def names(sources: Mapping[str, str], roles: Mapping[str, Found]) -> Names:
    """The names of trainer and agent that are not newt's, each told by one thing only that it can be."""
    files: dict[str, tuple[tuple[str, str], ...]] = {}
    for role, told in (("trainer", _of_trainer), ("agent", _of_agent)):
        found = roles[role]
        pairs = told(sources[found.file], found.cls or "")
        if pairs and found.file not in files:
            files[found.file] = pairs
    return Names(files)


def _renamed(text: str, pairs: tuple[tuple[str, str], ...] | list[tuple[str, str]]) -> str:
    for old, new in pairs:
        text = re.sub(rf"(?<![\w.])(self\.|def ){old}\b", rf"\g<1>{new}", text)
    return text


@lru_cache(maxsize=64)
def _of_trainer(text: str, cls: str) -> tuple[tuple[str, str], ...]:
    methods = _methods(text, cls)
    told: dict[str, set[str]] = {}
    for method, body in methods.items():
        for name, value in _set(body):
            attributes = {part.attr for part in walk(value) if isinstance(part, ast.Attribute)}
            if method == "__init__" and _empty_rows(value):
                told.setdefault("_tds", set()).add(name)
            if (
                method == "__init__"
                and _is_product(value)
                and _FREQUENCY - {"world_size"}
                <= attributes
                <= {
                    *_FREQUENCY,
                    "cfg",
                }
            ):
                told.setdefault("_update_freq", set()).add(name)
        for node in walk(body):
            match node:
                case ast.AugAssign(target=target, op=ast.Add(), value=value) if _own(target) and _asks_for(
                    value, "utd"
                ):
                    told.setdefault("_update_tokens", set()).add(_own(target))
                case ast.Assign(targets=[target], value=ast.BinOp(left=left, op=ast.Add(), right=right)):
                    if _own(target) and _own(left) == _own(target) and _asks_for(right, "utd"):
                        told.setdefault("_update_tokens", set()).add(_own(target))
    for method, keyword, usual in (("common_metrics", "step", "_step"), ("to_td", "task", "_tasks")):
        for name in _handed(methods[method], keyword) if method in methods else ():
            told.setdefault(usual, set()).add(name)
    return _usable(text, told)


@lru_cache(maxsize=64)
def _of_agent(text: str, cls: str) -> tuple[tuple[str, str], ...]:
    methods = _methods(text, cls)
    told: dict[str, set[str]] = {}
    for node in walk(methods["update_pi"]) if "update_pi" in methods else ():
        match node:
            case ast.Assign(
                targets=[ast.Tuple(elts=[_, _, _])],
                value=ast.Call(func=ast.Attribute(value=ast.Name(id="self"), attr=called)),
            ):
                told.setdefault("_pi_loss" if called in methods else "pi_loss", set()).add(called)
    for name, value in _set(methods["__init__"]) if "__init__" in methods else ():
        if name in told.get("pi_loss", ()):
            made_of = (_own(part) for part in walk(value))
            told.setdefault("_pi_loss", set()).update(own for own in made_of if own in methods and "compile" not in own)
    for node in walk(methods["forward"]) if "forward" in methods else ():
        called = _own(node.func) if isinstance(node, ast.Call) else ""
        if called in methods and any(_own(part) in ("mppi", "_mppi") for part in walk(methods[called])):
            told.setdefault("plan", set()).add(called)
    return _usable(text, told)


def _usable(text: str, told: Mapping[str, set[str]]) -> tuple[tuple[str, str], ...]:
    """What can be renamed and back again: one name for each thing, and newt's stand nowhere, comments aside."""
    own = {getattr(node, "attr", getattr(node, "name", "")) for node in walk(parsed(text))}
    return tuple(
        (name, usual)
        for usual, found in told.items()
        for name in found
        if len(found) == 1 and name != usual and usual not in own
    )


def _asks_for(value: ast.expr, attribute: str) -> bool:
    return any(isinstance(part, ast.Attribute) and part.attr == attribute for part in walk(value))


def _methods(text: str, cls: str) -> dict[str, ast.FunctionDef]:
    classes = (node for node in parsed(text).body if isinstance(node, ast.ClassDef) and node.name == cls)
    return {node.name: node for body in classes for node in body.body if isinstance(node, ast.FunctionDef)}


def _set(function: ast.FunctionDef) -> Iterator[tuple[str, ast.expr]]:
    """The attributes of `self` that a method sets or adds to, and what with."""
    for node in walk(function):
        match node:
            case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)):
                yield from (
                    (_own(target), value) for target, value in zip(targets, values, strict=False) if _own(target)
                )
            case ast.Assign(targets=[target], value=value) | ast.AugAssign(target=target, value=value):
                if name := _own(target):
                    yield name, value
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                if name := _own(target):
                    yield name, value


def _own(node: ast.AST) -> str:
    """The name of an attribute of `self`."""
    match node:
        case ast.Attribute(value=ast.Name(id="self"), attr=name):
            return name
    return ""


def _empty_rows(value: ast.expr) -> bool:
    """Whether rows are reserved: a TensorDict without entries that has a size."""
    match value:
        case ast.Call(func=ast.Name(id="TensorDict"), args=[ast.Dict(keys=[]), *_]):
            return True
    return False


def _is_product(value: ast.expr) -> bool:
    match value:
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            return all(_is_product(side) or isinstance(side, ast.Attribute) for side in (left, right))
    return False


def _handed(function: ast.FunctionDef, keyword: str) -> Iterator[str]:
    """The attributes of `self` that are handed on by a keyword, or under a key."""
    for node in walk(function):
        match node:
            case ast.keyword(arg=name, value=value) if name == keyword and _own(value):
                yield _own(value)
            case ast.Dict(keys=keys, values=values):
                for key, value in zip(keys, values, strict=True):
                    if isinstance(key, ast.Constant) and key.value == keyword and _own(value):
                        yield _own(value)
