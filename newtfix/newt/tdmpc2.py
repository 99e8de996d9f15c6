"""Trees in TD-MPC2's layout, from which newt comes: recognised, and what they have of the items that newtfix knows.

Such a tree trains one environment with an agent that has `act`; newt trains many with one that is called. Patches are
for newt's layout. What they bring, TD-MPC2 has from the start, or has not, or cannot need.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from itertools import pairwise

from newtfix.code.syntax import functions, nodes
from newtfix.errors import TreeError
from newtfix.model import Place
from newtfix.newt.roles import Found

NAME = "TD-MPC2"


class Answer(Enum):
    """What a TD-MPC2 tree has of an item."""

    HAS = "has it"
    LACKS = "lacks it"
    UNCONCERNED = "not concerned"
    UNKNOWN = "cannot tell"


@dataclass(frozen=True)
class Item:
    """How one item is told in such a tree, by statements and lines of YAML that match.

    `has`: all of these, `in_order` where that is said. `about`: what code of this kind mentions; without
    any, the answer is `otherwise`. `bears`: what bears on the item at all, each such line being one of `has` or
    `known` as a whole. `why`: a sentence for each answer.
    """

    has: tuple[str, ...]
    about: str
    bears: str
    known: tuple[str, ...]
    otherwise: Answer
    why: Mapping[Answer, str]
    in_order: bool = False


@dataclass(frozen=True)
class Told:
    """The answer on one item, a sentence that explains it, and the line that shows it."""

    answer: Answer
    why: str
    place: Place | None = None


_NEVER = r"(?!)"
_NO_PRIOR = "Its policy loss has no prior term: it maximises Q and entropy alone."


def _item(
    has: str,
    otherwise: Answer,
    said: str,
    without: str,
    about: str = _NEVER,
    *more: str,
    bears: str = _NEVER,
    known: tuple[str, ...] = (),
    in_order: bool = False,
) -> Item:
    return Item((has, *more), about, bears, known, otherwise, {Answer.HAS: said, otherwise: without}, in_order)


_CFG = r"(self\.)?cfg\."
_HAS, _LACKS, _UNCONCERNED = Answer.HAS, Answer.LACKS, Answer.UNCONCERNED
ITEMS: Mapping[str, Item] = {
    "planner-stats": _item(
        r"action, mu, std = self\.agent\.act\(",
        _LACKS,
        "act returns the planner's mean and deviation with the action.",
        "act returns the action alone, so replay knows nothing of the planner's distribution. TD-M(PC)2 adds that.",
        r"\bmu, std\b",
    ),
    "seeding": _item(
        rf"{_CFG}seed_steps = max\(1000, 5 \* {_CFG}episode_length\)",
        _LACKS,
        "Seeding ends at max(1000, 5 L) steps, as in the reference.",
        "Nothing says when seeding ends.",
        r"\bseed_steps \S*= ",
        bears=r"\bseed_steps \S*= ",
    ),
    "mu-std": _item(
        r"\baction = self\.env\.rand_act\(\)",
        _LACKS,
        "Random actions while seeding are stored with a mean and a deviation.",
        "Actions are random while seeding; what planner-stats stores of them, mean and deviation, is not there.",
        r"\blog_std_max\)+$",
        r"\bfull_like\(action, .*log_std_max",
    ),
    "burst": _item(
        rf"^num_updates = {_CFG}seed_steps",
        _LACKS,
        "As many updates as there were seed steps follow when seeding ends.",
        "No burst of updates follows when seeding ends.",
        r"\bnum_updates = ",
        rf"^if self\._step == {_CFG}seed_steps$",
        r"for \w+ in range\(num_updates\)",
        bears=r"\bnum_updates\b",
        known=("num_updates = 1",),
    ),
    "actor-modes": _item(
        r"\bactor_mode\b",
        _LACKS,
        "actor_mode chooses the policy's loss.",
        "The policy maximises Q and entropy (mode sac). TD-M(PC)2 adds the modes that keep it near the planner.",
    ),
    "prior-norm": _item(
        r"action_dim / 61\b", _UNCONCERNED, "The prior term is scaled by A/61.", _NO_PRIOR, r"\bprior_loss\b"
    ),
    "prior-coef": _item(
        r"\bprior_coef: 1(\.0*)?$", _UNCONCERNED, "prior_coef is 1.0.", _NO_PRIOR, r"\bprior_(coef|loss)\b"
    ),
    "rho": _item(
        rf"consistency_loss (= consistency_loss /|/=) {_CFG}horizon",
        _LACKS,
        "Losses are weighted with rho^t as it is, and averaged over the horizon.",
        "Losses are not averaged over the horizon.",
        r"\bconsistency_loss\b",
        rf"reward_loss (= reward_loss /|/=) {_CFG}horizon",
        rf"value_loss (= value_loss /|/=) \({_CFG}horizon \* {_CFG}num_q\)",
        *(
            rf"{loss}_loss (= {loss}_loss \+|\+=) [^/]* \* {_CFG}rho \*\* t"
            for loss in ("consistency", "reward", "value")
        ),
        bears=r"\brho\b|_loss \S*= ",
        known=(
            rf"rho = torch\.pow\({_CFG}rho, torch\.arange\(len\(qs\)(, device=self\.device)?\)\)",
            r"(pi_loss =|return) \(-[^/]* \* rho\)\.mean\(\)",
            r"consistency_loss = 0|reward_loss, value_loss = \(0, 0\)|(termination|total)_loss = .*",
            rf"rho: .*|{_CFG}rho = [\d.]+",
        ),
    ),
    "scale-order": _item(
        r"\bself\.scale\.update\(",
        _LACKS,
        "The Q scale is updated before it is used.",
        "The Q scale is used before it is updated, or not updated at all.",
        r"\bself\.scale\b",
        r"= self\.scale\(|self\.scale\(q",
        in_order=True,
    ),
    "q-dropout": _item(
        rf".*\bdropout={_CFG}dropout[,)].*",
        _LACKS,
        "Dropout stands behind the first layer of each Q network.",
        "The Q networks have no dropout.",
        r"\bdropout\b",
        r".*\bdropout=dropout \* \(i == 0\)[,)].*",
        r"self\.dropout = nn\.Dropout\(dropout, .*\) if dropout else None",
        r"x = self\.dropout\(x\)",
        bears=r"^dropout\b|\bdropout(:|\.| =|=(self\.)?cfg|=dropout)|\.dropout\b",
        known=(r"dropout: 0\.010*", r"if self\.dropout", r"repr_dropout = .*"),
    ),
    "q-ensemble": _item(
        r"\bvmap\(",
        _LACKS,
        "The Q ensemble is one vmap over stacked parameters.",
        "The Q networks are evaluated one after the other.",
        r"\b[Vv]map\b",
    ),
    "eval-modes": _item(
        r"\b(use_pi=True|eval_pi\b)",
        _LACKS,
        "Evaluation also measures the policy without the planner.",
        "Evaluation measures the planner alone (with mpc=true).",
    ),
    "target-q": _item(
        _NEVER,
        _UNCONCERNED,
        "",
        "The defect is in newt's pair of online and target networks, which this tree does not have.",
        r"\bclass QOnlineTargetEnsemble\b",
    ),
    "episode-rows": _item(
        _NEVER, _UNCONCERNED, "", "One environment is trained on, so no two episodes share rows.", r"\b_tds\[.*\] = "
    ),
    "first-obs": _item(
        _NEVER, _UNCONCERNED, "", "The trainer resets its environment itself.", r"\bfinal_observation\b"
    ),
    "plan-anneal": _item(
        _NEVER,
        _UNCONCERNED,
        "",
        "The planner does not start from the policy's statistics.",
        r"\bconstraint_(start|final)_step\b",
    ),
}


def is_tdmpc2(sources: Mapping[str, str], roles: Mapping[str, Found]) -> bool:
    """Whether an agent has `act`, which its trainer calls, in the place of newt's `forward`, and no Q ensembles."""
    agent, trainer = roles["agent"], roles["trainer"]
    methods = functions(sources[agent.file])
    act, forward = (methods.get(f"{agent.cls}.{name}") for name in ("act", "forward"))
    asked = {one.arg for one in act.node.args.args} if act else set()
    return "layers" not in roles and "t0" in asked and forward is None and "agent.act(" in sources[trainer.file]


def must_be_newt(sources: Mapping[str, str], roles: Mapping[str, Found], patches: Iterable[str]) -> None:
    """Raise TreeError where patches that are for newt's layout are asked about in a tree of TD-MPC2's."""
    if not ITEMS.keys().isdisjoint(patches) and is_tdmpc2(sources, roles):
        raise TreeError(
            f"this tree has {NAME}'s layout, not newt's, which the patches are for; nothing was written",
            where=f"{roles['agent'].file}: {roles['agent'].cls} has act in the place of forward",
            hint="newtfix scan, with the same --tree, says what it has of them already and what does not concern it.",
        )


def told(sources: Mapping[str, str]) -> dict[str, Told]:
    """The answer on every item, from the texts of a tree alone."""
    lines = [
        Place(file, number, text)
        for file, source in sorted(sources.items())
        for number, text in (_statements(source) if file.endswith(".py") else _rows(source))
    ]
    return {name: _answer(item, lines) for name, item in ITEMS.items()}


def _answer(item: Item, lines: list[Place]) -> Told:
    found = [next((line for line in lines if re.search(has, line.text)), None) for has in item.has]
    places = [place for place in found if place is not None]
    usual = "|".join((*item.has, *item.known))
    bearing = (line for line in lines if re.search(item.bears, line.text))
    against = next((line for line in bearing if not re.fullmatch(usual, line.text)), None)
    if against is None and len(places) == len(found) and (not item.in_order or _in_order(places)):
        return Told(Answer.HAS, item.why[Answer.HAS], places[0])
    about = against or next((line for line in lines if re.search(item.about, line.text)), None)
    if about is None:
        return Told(item.otherwise, item.why[item.otherwise], next(iter(places), None))
    return Told(Answer.UNKNOWN, "There is code of this kind, in a form that newtfix does not know.", about)


def _in_order(places: list[Place]) -> bool:
    return all(a.file != b.file or a.line <= b.line for a, b in pairwise(places))


@lru_cache(maxsize=256)
def _statements(text: str) -> tuple[tuple[int, str], ...]:
    """The simple statements of a module, each on one line as `ast` writes it, and how classes, loops and ifs begin."""
    return tuple(_lines_of(text))


def _lines_of(text: str) -> Iterator[tuple[int, str]]:
    for node in nodes(text):
        if isinstance(node, ast.ClassDef):
            yield node.lineno, f"class {node.name}"
        elif isinstance(node, ast.For):
            yield node.lineno, f"for {ast.unparse(node.target)} in {ast.unparse(node.iter)}"
        elif isinstance(node, ast.If | ast.While):
            yield node.lineno, f"{type(node).__name__.lower()} {ast.unparse(node.test)}"
        elif isinstance(node, ast.stmt) and not hasattr(node, "body"):
            docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            yield from () if docstring else ((node.lineno, ast.unparse(node)),)


def _rows(text: str) -> Iterator[tuple[int, str]]:
    """The lines of a YAML file without comments."""
    for number, line in enumerate(text.splitlines(), 1):
        yield number, line.partition(" #")[0].strip()
