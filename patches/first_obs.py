"""An episode begins with its own first observation.

Claim: row 0 of an episode holds the observation it starts from.
Code: newt writes row 0 at an explicit reset only, which comes with an evaluation. After an automatic reset the next
episode is stored behind the first observation of an older one.
Change: when an environment starts a new episode by itself, the observation of that reset goes to row 0.
Effect: with the default eval_freq, 19 of 20 episodes are stored with a wrong first observation; their first
transition, one in 500 for DMControl, teaches the model a jump that never happened.
Evidence: newt, `Trainer.train` in trainer.py; found by running it.
Leave it off: only to repeat runs that were made with the defect.
"""

from newtfix.model import Edit, Patch, Severity, Shape, Where

STEP = Where("trainer", "$obs, $_, $_, $_, $_ = self.env.step($_)", "Trainer.train")
GUARDED = Where("trainer", "if done.any():\n    $$_", "Trainer.train", absent=True)


def _behind_loop(body: str) -> Shape:
    """A loop over the environments, with the body given, that no `if done.any()` stands around."""
    loop = f"for $i in $environments:\n    {body}"
    write = "if done.any():\n    self._tds[0, done] = self.to_td($obs)[done]"
    return Shape(loop, f"{loop}\n{write}", where=(STEP, GUARDED))


PATCH = Patch(
    title="First observation of an automatically started episode",
    severity=Severity.MODERATE,
    kind="defect",
    changes="the observation of an automatic reset goes to row 0 of the episode that it starts",
    after=("episode-rows",),
    edits=(
        Edit(
            "row-0",
            "trainer",
            "Trainer.train",
            (
                Shape(
                    """
                    if done.any():
                        $$finished
                    """,
                    """
                    if done.any():
                        $$finished
                        self._tds[0, done] = self.to_td($obs)[done]
                    """,
                    where=(STEP,),
                ),
                _behind_loop("$$_before\n    self.buffer.add($*episode)\n    $$_after"),
                _behind_loop("if done[$i]:\n        $$finished"),
                _behind_loop("if not done[$i]:\n        continue\n    $$finished"),
            ),
            present=("self._tds[0, done] = self.to_td($obs)[done]",),
        ),
    ),
)
