"""Which runs a plan consists of, and which of them are needed after what is known.

All of it follows from the plan and the scores, whatever the order in which runs end: a study that was killed and taken
up again makes the same runs as one that was not.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from newtfix.ablate import design
from newtfix.ablate.effects import Fit, of_screen
from newtfix.ablate.statistics import Array, e_process
from newtfix.ablate.study import Plan, Run

BATCH = 2  # seeds that are run between two looks
CANDIDATES = 4  # patches that are confirmed, at most
Scores = Mapping[str, float | None]  # of the runs that are settled, by id; None: no score


@dataclass(frozen=True)
class Contrast:
    """A difference between two sets of patches on the same seeds: `more` less `less`."""

    name: str
    more: tuple[str, ...]
    less: tuple[str, ...]


@dataclass(frozen=True)
class Schedule:
    """The runs of a study as far as they are known, in order, and those of them that are needed now.

    `open` says what later runs wait for; "" where these are all.
    """

    runs: tuple[Run, ...]
    needed: tuple[Run, ...]
    open: str = ""
    stopped: tuple[str, ...] = ()


def screen_runs(plan: Plan) -> list[Run]:
    seeds = range(plan.first_seed, plan.first_seed + plan.blocks)
    return [Run(cell.seed, _with(plan.gated, cell.on), "screen") for cell in design.screen(plan.factors, seeds)]


def proof_runs(plan: Plan) -> list[tuple[Run, Run]]:
    """Whole runs of the screen, none and all, beside the same with what was inert in short ones."""
    return [
        (Run(plan.first_seed, some, "screen"), Run(plan.first_seed, _with(some, plan.inert), "inertness"))
        for some in ((plan.gated, plan.all) if plan.proof else ())
    ]


def arm_runs(plan: Plan) -> list[Run]:
    """Every seed of a design whose arms are fixed: one-at-a-time, full."""
    return [Run(seed, arm, plan.design) for seed in pair_seeds(plan) for arm in fixed_arms(plan)]


def fixed_arms(plan: Plan) -> list[tuple[str, ...]]:
    sets = design.subsets if plan.design == "full" else design.one_at_a_time
    arms = [_with(plan.gated, chosen) for chosen in sets(plan.factors)]
    return list(dict.fromkeys([tuple(sorted(plan.on)), *arms]))


def pair_seeds(plan: Plan) -> range:
    """The seeds of the designs whose arms are fixed, and of the pairs."""
    return range(plan.first_seed, plan.first_seed + plan.pairs)


def pair_contrasts(plan: Plan) -> list[Contrast]:
    """Base against all; each gate alone, and left out."""
    base, everything = tuple(sorted(plan.on)), plan.all
    found = [Contrast("all", everything, base)]
    for gate in plan.gates if plan.design != "pairs" else ():
        found.append(Contrast(f"{gate} alone", _with(base, [gate]), base))
        found.append(Contrast(f"{gate} left out", everything, _without(everything, gate)))
    return found


def confirm_contrasts(plan: Plan, candidates: Sequence[str]) -> list[Contrast]:
    """Each candidate alone, where the gates are on, and left out of all."""
    found = []
    for name in candidates:
        found.append(Contrast(f"{name} alone", _with(plan.gated, [name]), plan.gated))
        found.append(Contrast(f"{name} left out", plan.all, _without(plan.all, name)))
    return found


def pair_cost(plan: Plan, seeds: int) -> int:
    """The runs that this many seeds of pairs take beside those of the screen."""
    arms = _arms(pair_contrasts(plan))
    runs = {Run(seed, arm) for seed in range(plan.first_seed, plan.first_seed + seeds) for arm in arms}
    return len(runs - set(screen_runs(plan) if plan.blocks else []))


def candidates(plan: Plan, scores: Scores) -> tuple[str, ...]:
    """The patches that stand out of the screen, the clearest first."""
    fit = fit_screen(plan, scores)
    if fit is None or fit.freedom < 1:
        return ()
    order = np.argsort(fit.p_values)
    clear = [plan.factors[number] for number in order if fit.p_values[number] < plan.alpha]
    return tuple(clear[:CANDIDATES])


def fit_screen(plan: Plan, scores: Scores) -> Fit | None:
    """The effects of the factors by the screen's runs so far; None: too few."""
    runs = screen_runs(plan)
    values = np.array([_value(scores, run) for run in runs])
    if not plan.blocks or np.isfinite(values).sum() < len(plan.factors) + 2:
        return None
    signs = [[1 if name in run.patches else -1 for name in plan.factors] for run in runs]
    return of_screen(signs, [run.seed for run in runs], values)


def differences(contrast: Contrast, seeds: Iterable[int], scores: Scores) -> Array:
    """The differences of the seeds that have both runs, in order."""
    pairs = [(scores.get(Run(s, contrast.more).id), scores.get(Run(s, contrast.less).id)) for s in seeds]
    return np.array([more - less for more, less in pairs if more is not None and less is not None], float)


def evidence(contrast: Contrast, seeds: Iterable[int], scores: Scores) -> float:
    """The e-value that a contrast has reached: the largest, for one may stop there."""
    values = e_process(differences(contrast, seeds, scores))
    return float(np.max(values)) if len(values) else 1.0


def schedule(plan: Plan, scores: Scores) -> Schedule:
    """The runs that are needed, by what is known of others.

    Seeds of pairs come in batches. A batch is needed once the last but one is there and has not decided everything; so
    no processor waits for a decision.
    """
    if plan.design in ("one-at-a-time", "full"):
        runs = tuple(dict.fromkeys(arm_runs(plan)))
        return Schedule(runs, runs)
    screened = screen_runs(plan)
    proof = [run for _, run in proof_runs(plan)]
    known, needed = dict.fromkeys([*screened, *proof]), dict.fromkeys([*screened, *proof])
    waits, stopped = [], []
    for stage in sequences(plan, scores):
        known |= dict.fromkeys(stage.runs(stage.seeds))
        open_, stop = _advance(plan, stage, scores, needed)
        waits += [open_] if open_ else []
        stopped += [stop] if stop else []
    if plan.confirm and not _settled(screened, scores):
        waits.append("the screen")
    return Schedule(tuple(known), tuple(needed), ", ".join(waits), tuple(stopped))


@dataclass(frozen=True)
class PairedStage:
    """Arms that are run seed after seed until all contrasts are decided."""

    name: str
    contrasts: tuple[Contrast, ...]
    arms: tuple[tuple[str, ...], ...]
    seeds: tuple[int, ...]

    def runs(self, seeds: Iterable[int]) -> list[Run]:
        return [Run(seed, arm, self.name) for seed in seeds for arm in self.arms]


def sequences(plan: Plan, scores: Scores) -> list[PairedStage]:
    """The pairs of base and all, and, once the screen is there, the confirmation of what stood out."""
    contrasts = pair_contrasts(plan)
    pairs = PairedStage("pairs", tuple(contrasts), tuple(_arms(contrasts)), tuple(pair_seeds(plan)))
    screened = screen_runs(plan)
    if not plan.confirm or not _settled(screened, scores):
        return [pairs]
    clear, known = candidates(plan, scores), {*screened, *pairs.runs(pairs.seeds)}
    for count in range(len(clear), 0, -1):  # as many as the runs that are left can decide
        stage = _confirmation(plan, clear[:count], known)
        if len(stage.seeds) >= seeds_to_decide(len(stage.contrasts), plan.alpha):
            return [pairs, stage]
    return [pairs]


def _confirmation(plan: Plan, chosen: Sequence[str], known: Collection[Run]) -> PairedStage:
    """The stage that confirms some patches, with as many seeds as the runs that are left pay for."""
    contrasts = confirm_contrasts(plan, chosen)
    few = [_with(plan.gated, some) for some in design.subsets(chosen)] if len(chosen) in (2, 3) else []
    arms = tuple(dict.fromkeys([*_arms(contrasts), *few]))
    seeds, left = [], plan.confirm
    for seed in range(plan.first_seed, plan.first_seed + plan.confirm):
        left -= sum(Run(seed, arm) not in known for arm in arms)
        if left < 0:
            break
        seeds.append(seed)
    return PairedStage("confirm", tuple(contrasts), arms, tuple(seeds))


@cache
def seeds_to_decide(contrasts: int, alpha: float) -> int:
    """The fewest seeds whose evidence can decide that many contrasts: all differences alike."""
    reached = e_process(np.ones(60)) >= contrasts / alpha
    return max(int(np.argmax(reached)) + 1, 6)


def _advance(plan: Plan, stage: PairedStage, scores: Scores, needed: dict[Run, None]) -> tuple[str, str]:
    """Add the batches that are needed; what the next ones wait for, and why there are no more."""
    level = len(stage.contrasts) / plan.alpha
    for start in range(0, len(stage.seeds), BATCH):
        looked = stage.seeds[: max(0, start - BATCH)]
        if not _settled(stage.runs(looked), scores):
            return f"{stage.name} of seeds up to {looked[-1]}", ""
        if looked and all(evidence(one, looked, scores) >= level for one in stage.contrasts):
            return "", f"{stage.name}: decided after {len(looked)} seeds"
        needed |= dict.fromkeys(stage.runs(stage.seeds[start : start + BATCH]))
    return "", ""


def _settled(runs: Iterable[Run], scores: Scores) -> bool:
    return all(run.id in scores for run in runs)


def _arms(contrasts: Sequence[Contrast]) -> list[tuple[str, ...]]:
    return list(dict.fromkeys(arm for one in contrasts for arm in (one.less, one.more)))


def _value(scores: Scores, run: Run) -> float:
    value = scores.get(run.id)
    return float("nan") if value is None else value


def _with(some: Iterable[str], more: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({*some, *more}))


def _without(some: Iterable[str], name: str) -> tuple[str, ...]:
    return tuple(one for one in some if one != name)
