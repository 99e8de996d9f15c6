"""Dropout in the Q networks.

Claim: the reference drops 1% of the units behind the first linear layer of each Q network, in front of its LayerNorm.
Code: newt's Q networks have no dropout.
Change: a setting `dropout`, 0.01. It acts where the Q networks are in training mode: in the update, not in the target
networks and not while planning. (With compile=true a tree without `target-q` has no target networks: there the TD
target comes from the online networks, dropout included.)
Effect: about five of 512 units are dropped from each sample of each network in an update.
Evidence: reference, `dropout` in config.yaml, `NormedLinear` in common/layers.py.
Leave it off: when losses must not depend on random numbers beyond the policy's own, or set dropout=0, which gives the
same numbers as a tree without the patch.
"""

from newtfix.model import Add, Edit, Fact, Numbers, Patch, Severity, Shape, Where, rewrite
from newtfix.newt.conditions import TARGET_COPIES

DROP = '''
def _drop(self, x):
    """Dropout at the rate `dropout`, in training mode."""
    return nn.functional.dropout(x, self.dropout, self.training) if self.dropout else x
'''

# What a layer of the tree knows of dropout already.
AS_MODULE = Where("layers", "self.dropout = $_", "NormedLinear.__init__")
AS_NUMBER = (Where("layers", "self.dropout = $_", "NormedLinear.__init__", absent=True),)
# The networks, whose first layer is one of those that drop units.
NETWORKS: dict[str, tuple[Where, ...]] = {
    "self._Qs = nn.ModuleList([mlp($*layers) for $each in $all])": (),
    "self._Qs = nn.ModuleList()\nfor $each in $all:\n    self._Qs.append(mlp($*layers))": (),
    "self._Qs = nn.ModuleList([$network($*layers) for $each in $all])": (
        Where("layers", "def $network($*_):\n    $$_\n    return mlp($*_)", ""),
    ),
    "self._Qs = nn.ModuleList([self.$network($*layers) for $each in $all])": (
        Where("layers", "def $network($*_):\n    $$_\n    return mlp($*_)", "QEnsemble"),
    ),
    "self._Qs = nn.ModuleList($variable)": (
        Where(
            "layers",
            ("$variable = [mlp($*_) for $_ in $_]", "$variable = [mlp($*_)]", "$variable.append(mlp($*_))"),
            "QEnsemble.__init__",
        ),
    ),
}
# Its hidden layers are of that kind, too.
LAYERED = Where(
    "layers",
    (
        "NormedLinear($_, $_)",
        "[NormedLinear($*_) for $_ in $_]",
        "for $_ in $_:\n    $$_\n    $_.append(NormedLinear($*_))\n    $$_",
        "for $_ in $_:\n    $$_\n    $_ += [NormedLinear($*_)]\n    $$_",
    ),
    "mlp",
)
KEEPS_NUMBERS = Where("layers", "$_($*_, preserve_rng_state=False, $*_)", absent=True)
NORMED_FIRST = Where("layers", ("nn.ModuleList([$_, $*_])", "[nn.$_($*_)]", "Residual($*_)"), "mlp", absent=True)
# The model is in training mode while it learns, and in evaluation mode while it plans.
LEARNING = Where(
    "agent",
    ("self.model.train()", "self.model.train(True)", "self.train()", "self.train(True)"),
    "TDMPC2",
    far=("self.model = $_",),
)
QUIET = Where(
    "agent",
    ("self.model.eval()", "self.model.train(False)", "self.eval()"),
    "TDMPC2",
    far=("self.model = $_", "self.model.load_state_dict($*_)"),
)
# The rate is a setting, and that of the Q networks alone.
OWN_RATE = Where("layers", "$_.dropout", "QEnsemble")
SETTINGS = Where("layers", "def __init__(self, $cfg, $*_):\n    $$_", "QEnsemble.__init__")

PATCH = Patch(
    title="Dropout in the Q networks",
    severity=Severity.MINOR,
    changes="dropout 0.01 behind the first linear layer of each Q network, in front of its LayerNorm",
    after=("scale-order",),
    only_where=(
        Fact("drops_nothing", ("layers", "NormedLinear")),
        Fact("only_named_in", ("QEnsemble", "layers")),
        Fact("unchanged", ("layers", "inputs", "evaluated")),
        Fact("calls_no", ("layers", "mlp", "Dropout", "dropout")),
        Fact("alike", ("layers", "QEnsemble", "self._Qs", "dropout")),
        Fact("first_is", ("layers", "mlp", "Sequential", "NormedLinear")),
        Fact("called_whole", ("layers", "QEnsemble", "self._Qs")),
        Fact("drops_first", ("layers",)),
        Fact("made_of", ("layers", "QEnsemble", "self._Qs", "mlp", "Sequential")),
        Fact("holds_only", ("layers", "QEnsemble", "self._Qs")),
        Fact("maps_randomly", ("layers",)),
        Fact("asked_within", ("dropout", "layers", "QEnsemble")),
        Fact("passes_mode", ("layers", "self.online")),
        Fact("passes_mode", ("world_model", "self._Qs")),
        Fact("drops_nothing", ("layers", "QEnsemble")),
        Fact("none_replaced", ("_Qs", "QEnsemble")),
    ),
    edits=(
        Add(
            "setting",
            "config",
            "Config",
            "dropout: float = 0.01  # dropout behind the first layer of the Q networks; 0: none",
            after="num_q",
        ),
        Edit(
            "default",
            "config",
            "",
            tuple(
                rewrite(
                    f"""
                    - dropout: $kind = {none}
                    + dropout: $kind = 0.01
                    """,
                    where=(OWN_RATE,),
                )
                for none in ("0.0", "0")
            ),
            optional=True,
            supplement=True,
        ),
        Edit(
            "layer",
            "layers",
            "NormedLinear.forward",
            tuple(
                rewrite(f"- {linear}\n+ self._drop({linear})")
                for linear in (
                    "super().forward($x)",
                    *(f"{functional}.linear($x, self.weight, self.bias)" for functional in ("F", "nn.functional")),
                )
            ),
            present=("self.dropout($x)",),
        ),
        Add(
            "rate",
            "layers",
            "NormedLinear",
            "dropout = 0.0  # rate of dropout in front of the normalisation",
            optional=True,
            unless=(AS_MODULE,),
        ),
        Add("method", "layers", "NormedLinear", DROP, after="forward", optional=True, unless=(AS_MODULE,)),
        Edit(
            "ensemble",
            "layers",
            "QEnsemble.__init__",
            tuple(
                Shape(
                    made,
                    f"{made}\nfor network in self._Qs:\n    network[0].dropout = {rate}",
                    present=f"network[0].dropout = {rate.replace('$cfg', '$_')}",
                    where=(LEARNING, QUIET, LAYERED, NORMED_FIRST, KEEPS_NUMBERS, SETTINGS, *where, *layers),
                )
                for made, layers in NETWORKS.items()
                for rate, where in (("$cfg.dropout", AS_NUMBER), ("nn.Dropout($cfg.dropout)", (AS_MODULE,)))
            ),
            present=("mlp($*_, dropout=$_.dropout)", "network[0].dropout = nn.Dropout($_.dropout).p"),
        ),
        Edit(
            "target",
            "layers",
            "QOnlineTargetEnsemble",
            tuple(
                Shape(
                    copied,
                    f"{copied}\nfor network in self.target._Qs:\n    network[0].dropout = {nothing}",
                    present=f"network[0].dropout = {nothing}",
                    where=where,
                )
                for copied in TARGET_COPIES
                for nothing, where in (("0.0", AS_NUMBER), ("nn.Dropout(0.0)", (AS_MODULE,)))
            ),
            unless=(
                Where("layers", ("self.target.train(False)", "self.target.eval()"), "QOnlineTargetEnsemble.train"),
            ),
        ),
    ),
)


def consequence(numbers: Numbers) -> str:
    return "The Q networks drop 0 of 100 units behind their first layer, in the reference 1."
