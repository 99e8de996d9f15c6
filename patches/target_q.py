"""The target networks answer with their own weights.

Claim: the TD target is computed by slowly following copies of the Q networks.
Code: with compile=True, newt's default, `QEnsemble` keeps a compiled function that is bound to its own networks. The
target ensemble is a deep copy, and deepcopy copies functions by reference: the copy's compiled function still
evaluates the online networks. There is no target network.
Change: the copy compiles a forward pass of its own.
Effect: with every target parameter set to zero, Q(target=True) still equals the online output before, and is 0 after.
TD targets follow the online networks at once instead of at the rate tau = 0.01.
Evidence: newt, `QEnsemble` and `QOnlineTargetEnsemble` in common/layers.py; found by running them.
Leave it off: only to repeat runs that were made with the defect. With compile=false there is no difference.
"""

from newtfix.model import Edit, Patch, Severity, Shape, Where

COMPILED = (
    "self.$forward = torch.compile(self.$own, $*options)",
    "self.$forward = torch.compile(self.$own, $*options) if $_ else $_",
)

PATCH = Patch(
    title="Target networks with their own compiled forward pass",
    severity=Severity.CRITICAL,
    kind="defect",
    changes="with compile=true, the target Q networks evaluate their own weights, not the online networks'",
    after=("eval-modes",),
    edits=(
        Edit(
            "own-forward",
            "layers",
            "QOnlineTargetEnsemble.__init__",
            (
                Shape(
                    "self.target = deepcopy(self.online)",
                    """
                    self.target = deepcopy(self.online)
                    if cfg.compile:
                        self.target.$forward = torch.compile(self.target.$own, $*options)
                    """,
                    present="self.target.$forward = torch.compile(self.target.$own, $*options)",
                    where=(Where("layers", COMPILED, "QEnsemble"),),
                ),
            ),
            unless=(Where("layers", "torch.compile($*_)", "QEnsemble", absent=True),),
        ),
    ),
)
