"""Mutators that rename: locals and positional parameters, to names people use or to names that patches bring."""

from __future__ import annotations

import ast
import builtins
import keyword
import random
from collections.abc import Iterable

from mutant import Modules, Mutator, Texts, Undo
from scopes import Function, Text, functions, local_names, occurrences, parameters, rename_nodes, used_names

SYNONYMS = {
    "action": ["act", "a_t", "actions"], "reward": ["rew", "r"], "obs": ["o", "observation", "next_obs"],
    "td": ["row", "data"], "task": ["task_id", "tid"], "done": ["dones", "finished"], "zs": ["latents", "z_seq"],
    "qs": ["q_values", "q"], "info": ["infos", "extra"], "ep_len": ["lengths", "ep_length"], "mean": ["m", "loc"],
    "train_metrics": ["metrics", "stats"], "_td": ["episode", "traj"], "use_mpc": ["plan_now"],
    "use_agent": ["act_with_agent"], "total_loss": ["loss"], "pi_action": ["pi_act", "a_pi"], "i": ["idx", "n", "j"],
    "reward_loss": ["rew_loss", "r_loss"], "value_loss": ["v_loss"], "consistency_loss": ["cons_loss", "c_loss"],
    "_obs": ["stored_obs"], "num_updates": ["n_up"], "std": ["sigma", "s"], "mu": ["m", "planner_mean"],
    "buffer": ["replay", "rb"], "x": ["inp", "h"], "out": ["res", "y"], "truncated": ["trunc"], "terminated": ["term"],
}  # fmt: skip
TAKEN = (
    "mu std mean metrics updates values losses segment start end remaining horizon unknown name value eps log_pi "
    "weight weights q rho prior mask adv scale steps returns use_mpc use_agent index row last updates_left"
).split()
_ANY_CALLEE = ("forward", "__call__", "__init__")


def keywords_of_calls(modules: Iterable[ast.Module]) -> dict[str, set[str]]:
    """Keywords that are passed anywhere, by the last part of what is called, leading underscores aside; "" is all."""
    found: dict[str, set[str]] = {"": set()}
    for module in modules:
        for node in ast.walk(module):
            if isinstance(node, ast.Call):
                callee = ast.unparse(node.func).rpartition(".")[2].lstrip("_")
                names = {k.arg for k in node.keywords if k.arg}
                found.setdefault(callee, set()).update(names)
                found[""] |= names
    return found


def _fixed(qualname: str, fn: Function, by_keyword: dict[str, set[str]]) -> set[str]:
    """The parameters of a function that callers may pass by keyword, or that are none of its own."""
    name = qualname.rpartition(".")[2]
    passed = by_keyword[""] if name in _ANY_CALLEE else by_keyword.get(name.lstrip("_"), set())
    if name == "__init__" and "Buffer" in qualname:
        passed = {p.arg for p in parameters(fn)}
    star = [x.arg for x in (fn.args.vararg, fn.args.kwarg, *fn.args.kwonlyargs) if x]
    return {p.arg for p in parameters(fn) if p.arg in passed} | set(star)


def _fresh(old: str, taken: set[str], rng: random.Random, pool: list[str] | None) -> str | None:
    general = [f"{old}_t", f"cur_{old.lstrip('_')}", f"{old}1", f"x{rng.randrange(100)}", f"tmp_{old.lstrip('_')}"]
    candidates = list(pool) if pool else [*SYNONYMS.get(old, []), *rng.sample(general, len(general))]
    if pool:
        rng.shuffle(candidates)
    allowed = (c for c in candidates if c not in taken and not keyword.iskeyword(c) and not hasattr(builtins, c))
    return next(allowed, None)


def _choose(
    fn: Function, fixed: set[str], module: set[str], rng: random.Random, share: float, pool: list[str] | None
) -> dict[str, str]:
    names: dict[str, str] = {}
    taken = used_names(fn) | module
    for old in sorted(local_names(fn) - fixed):
        if rng.random() >= share or (pool and len(names) >= 2):
            continue
        new = _fresh(old, taken, rng, pool)
        if new:
            names[old] = new
            taken.add(new)
    return names


def _put(text: Text, fn: Function, names: dict[str, str]) -> dict[str, str]:
    """Rename in the text what stands where the syntax tree says (in f-strings it may not). Returns what was done."""
    done: dict[str, str] = {}
    for old, new in names.items():
        nodes = occurrences(fn, old)
        places = {(n.lineno, n.col_offset) for n in nodes}
        spelled = all(text.lines[n.lineno - 1][n.col_offset :].startswith(old.encode()) for n in nodes)
        if len(places) == len(nodes) and spelled:
            done[old] = new
            for node in nodes:
                text.put(node, new, len(old.encode()))
    return done


def _renamed(source: str, by_keyword: dict[str, set[str]], rng: random.Random, share: float, pool: list[str] | None):
    """The text with other names, and for each function what is called what now."""
    module, text = ast.parse(source), Text(source)
    top = {n for s in module.body for n in used_names(s) if not isinstance(s, (ast.FunctionDef, ast.ClassDef))}
    top |= {s.name for s in module.body if isinstance(s, (ast.FunctionDef, ast.ClassDef))}
    done = {}
    for qualname, fn in functions(module).items():
        names = _put(text, fn, _choose(fn, _fixed(qualname, fn, by_keyword), top, rng, share, pool))
        if names:
            done[qualname] = names
            rename_nodes(fn, names)
    result = text.result()
    same = ast.dump(ast.parse(result)) == ast.dump(module)
    return (result, done) if same else (source, {})


def renaming(share: float, pool: list[str] | None = None) -> Mutator:
    """Rename a share of the locals and positional parameters of every function; with a pool, at most two in each."""

    def mutate(texts: Texts, only: frozenset[str], rng: random.Random) -> tuple[Texts, Undo | None]:
        by_keyword = keywords_of_calls(_parsed(texts))
        changed, done = {}, {}
        for file in sorted(only):
            changed[file], done[file] = _renamed(texts[file], by_keyword, rng, share, pool)
        return changed, _RenameBack(done, by_keyword)

    return mutate


def _parsed(texts: Texts) -> Iterable[ast.Module]:
    for file, text in texts.items():
        if file.endswith(".py"):
            try:
                yield ast.parse(text)
            except (SyntaxError, ValueError):
                continue


class _RenameBack:
    """Old names again. What goes by an old name before that was put there by a patch that took it for granted.

    Such a name is marked, so that the result does not look like a right one; so is a keyword that nobody passed.
    """

    only_names = True

    def __init__(self, done: dict[str, dict[str, dict[str, str]]], passed: dict[str, set[str]]) -> None:
        self.done, self.passed = done, passed

    def __call__(self, modules: Modules) -> None:
        stale: dict[str, set[str]] = {}
        for file, by_function in self.done.items():
            found = functions(modules[file]) if file in modules else {}
            for qualname, names in by_function.items():
                stale.setdefault(qualname.rpartition(".")[2].lstrip("_"), set()).update(names)
                if qualname in found:
                    back = {new: old for old, new in names.items()}
                    back |= {old: f"{old}__stale" for old in names if old not in back}
                    rename_nodes(found[qualname], back)
        self._mark_keywords(modules, stale)

    def _mark_keywords(self, modules: Modules, stale: dict[str, set[str]]) -> None:
        calls = (n for module in modules.values() for n in ast.walk(module) if isinstance(n, ast.Call))
        for node in calls:
            callee = ast.unparse(node.func).rpartition(".")[2].lstrip("_")
            for word in node.keywords:
                if word.arg in stale.get(callee, set()) - self.passed.get(callee, set()):
                    word.arg = f"{word.arg}__stale"
