"""Every environment writes its own row of its own episode.

Claim: row t of an environment's episode is what happened at its step t.
Code: newt keeps the running episodes in one TensorDict [L+1, N] and writes `self._tds[ep_len] = td` with ep_len an
index tensor [N]. That selects N rows of all N environments, and writes each environment's data at every other
environment's position too.
Change: row ep_len[i] of column i only.
Effect: none while all environments are in step, so single-task runs are not affected. As soon as lengths differ, rows
are overwritten: with episodes of 2 and 6 steps, the long one is stored as steps 5, 6, 3, 4, 5, 6.
Evidence: newt, `Trainer.train` in trainer.py; found by running it with two lengths.
Leave it off: never with tasks of different lengths; with one length it makes no difference.
"""

from collections.abc import Sequence

from newtfix.model import (
    Edit,
    Fact,
    Numbers,
    Observation,
    Patch,
    Running,
    Severity,
    Unobservable,
    Where,
    judged,
    rewrite,
    show,
)

# One number for all environments is another way to keep their steps.
STEPS = Where(
    "trainer",
    ("$variable = int($_.max())", "$variable = int($_[0])", "$variable = $_.max().item()", "$variable = $_[0].item()"),
    "Trainer",
    absent=True,
    near=("self.to_td($_, $_, $*_)",),
)

PATCH = Patch(
    title="Rows of episodes of different lengths",
    severity=Severity.CRITICAL,
    kind="defect",
    changes="each environment writes row ep_len[i] of its own column only (matters for mixed episode lengths)",
    after=("target-q",),
    only_where=(
        Fact("indexes_alone", ("trainer", "self._tds")),
        Fact("only_checks", ("trainer", "_check_in_step")),
        Fact("cut_only", ("trainer", "self._tds")),
        Fact("unchanged", ("trainer", "rows", "kept")),
        Fact("written_whole", ("trainer", "self._tds")),
        Fact("flat", ("trainer", "self._tds")),
        Fact("made_by_library", ("trainer", "self._tds")),
        Fact("attribute_only_in", ("_tds", "trainer")),
        Fact("columns_in_order", ("trainer", "self._tds")),
        Fact("begins_anew", ("trainer", "self._tds")),
        Fact("counts_rows", ("trainer", "self._tds")),
        Fact("cut_by_environment", ("trainer", "self._tds")),
        Fact("asks_for_none", ("trainer", "to_td", "", "torch.cat")),
    ),
    edits=(
        Edit(
            "own-row",
            "trainer",
            "Trainer",
            (
                rewrite(
                    """
                    - self._tds[$@_[$whole]] = $row
                    + self._tds[$whole.long(), torch.arange($whole.shape[0])] = $row
                    """,
                    without=("self.to_td($_)", "self.to_td(obs=$_)"),
                    where=(STEPS,),
                    fallback=True,
                ),
                *(
                    rewrite(
                        f"""
                        - self._tds[{common}] = $row
                        + self._tds[$variable.long(), torch.arange($variable.shape[0])] = $row
                        """,
                        near=("self.to_td($_, $_, $*_)",),
                    )
                    for common in ("$variable.max()", "$variable[0]")
                ),
            ),
            present=(
                "self._tds[$length.long(), torch.arange($n)] = $td",
                "self._tds[$length, torch.arange($n)] = $td",
                "self._tds[$length[$i], $i] = $td[$i]",
                "self._tds[$length, $_] = self.to_td($_, $_, $*_)",
                "$td = self.to_td($_, $_, $*_)\n$$_\nself._tds[$length, $_] = $td",
            ),
        ),
        # newt_base refuses to go on where this defect would matter to it.
        Edit("check", "trainer", "Trainer", (rewrite("- self._check_in_step($_)"),), optional=True),
        Edit(
            "own-check",
            "trainer",
            "Trainer",
            (
                rewrite("""
            - def _check_in_step(self, $_):
            -     $$_
            """),
            ),
            optional=True,
        ),
    ),
)


def consequence(numbers: Numbers) -> str:
    lengths = numbers.lengths
    said = "Environments overwrite each other's rows as soon as episode lengths differ."
    if len(lengths) > 1:
        here = f"The {len(numbers.tasks)} tasks here have {len(lengths)} lengths, {show(lengths)}"
        return f"{said} {here}: this run is affected."
    if lengths:
        return f"{said} Here all have {show(lengths)} steps: this run is not affected."
    return f"{said} Those of the tasks here are not known."


def probe(tree: Running) -> list[Observation]:
    """Episodes of 2 and of 6 steps, side by side."""
    short, long = lengths = (2, 6)
    made = tree.run(lengths, steps=6 * len(lengths) * long - 1)
    whole = [one.keys for one in made.segments if one.keys[-1][0] == 1 and one.keys[-1][2] == long == len(one) - 1]
    if not whole:
        raise Unobservable("no whole episode of the longer kind was stored")
    steps = ", ".join(str(t) for *_, t in whole[0][1:])
    wrong = sum(_misplaced(segment.keys) for segment in made.segments)
    stored = sum(len(segment) - 1 for segment in made.segments)
    none, seen = f"none of {stored:,}", f"{wrong:,} of {stored:,}"
    what = f"steps in the rows of an episode of {long} beside episodes of {short}{made.leave}"
    return [
        judged(what, "1, 2, 3, 4, 5, 6", steps, "5, 6, 3, 4, 5, 6"),
        judged("rows that hold another step than their own", none, seen if wrong else none, seen),
    ]


def _misplaced(keys: Sequence[tuple[int, int, int]]) -> int:
    """How many rows are not where counting back from the last one puts them; the first one is not asked."""
    i, episode, t = keys[-1]
    back = range(len(keys) - 2, -1, -1)
    return sum(key != (i, episode, t - k) for key, k in zip(keys[1:], back, strict=True))
