"""The Q networks evaluated as one batched network.

Claim: the reference holds the parameters of its Q ensemble stacked and evaluates it with one batched call (through
`functorch.combine_state_for_ensemble`, now deprecated).
Code: newt calls one network after the other and stacks the results.
Change: the parameters are held stacked, [num_q, ...], and every layer is one batched product (`torch.baddbmm`). As a
list, the ensemble still gives networks, whose parameters are views of the stacked ones. State dicts of the model and
the optimiser have newt's entries, one per network, both ways: checkpoints with and without the patch are alike.
Effect: the same values up to rounding (relative differences of about 1e-6), and the same initial weights. For five
networks a GPU gets a fifth of the kernels, and optimisers and target updates walk over a fifth of the tensors. On a
CPU an update takes as long as with the loop, within 3%.
Evidence: reference, `Ensemble` in common/layers.py; newt, `QEnsemble` in common/layers.py.
Leave it off: when a run must repeat an earlier one bit for bit.
"""

from textwrap import indent

from newtfix.model import Add, Edit, Fact, Numbers, Patch, Severity, Shape, Where, rewrite, show

STACKED = '''
class StackedLinear(nn.Linear):
    """The linear layers of N networks as one batched product."""

    single = nn.Linear
    weight: torch.Tensor  # [N, in, out]
    bias: torch.Tensor  # [N, out]

    def forward(self, x):
        """[N, rows, out] for inputs [N, rows, in], or [rows, in] that all networks share."""
        x = x.expand(len(self.weight), *x.shape) if x.ndim == 2 else x
        return torch.bmm(x, self.weight) if self.bias is None else torch.baddbmm(self.bias.unsqueeze(1), x, self.weight)


class StackedLayerNorm(nn.LayerNorm):
    """The layer normalisations of N networks."""

    single = nn.LayerNorm
    eps: float
    weight: torch.Tensor  # [N, F]
    bias: torch.Tensor  # [N, F]

    def forward(self, x):
        """[N, rows, F], normalised and scaled by each network's own weights."""
        x = nn.functional.layer_norm(x, x.shape[-1:], eps=self.eps)
        return torch.addcmul(self.bias.unsqueeze(1), x, self.weight.unsqueeze(1))


def stacked(modules):
    """One module in the place of several of one shape: it holds copies of their parameters, stacked."""
    first, kind = modules[0], type(modules[0])
    if any(own is not None for own in first._parameters.values()):
        if issubclass(kind, nn.Linear):
            bases = (kind, StackedLinear) if kind is not nn.Linear else (StackedLinear,)
            kind = type(f"Stacked{kind.__name__}", bases, {"single": kind})
        elif kind is nn.LayerNorm and first.bias is not None:
            kind = StackedLayerNorm
        else:
            raise TypeError(f"networks with parameters in a {kind.__name__} cannot be stacked")
    made = kind.__new__(kind)
    made.__dict__.update(first.__dict__)
    made._parameters, made._modules = {}, {}
    for name in first._parameters:
        own = [getattr(module, name) for module in modules]
        parameter = None if own[0] is None else nn.Parameter(of_all(own), own[0].requires_grad)
        made.register_parameter(name, parameter)
    for name in first._modules:
        made.add_module(name, stacked([module._modules[name] for module in modules]))
    return made


def of_all(tensors):
    """Tensors of several networks stacked, matrices transposed; of numbers and the like, the first."""
    if not torch.is_tensor(tensors[0]) or tensors[0].ndim == 0:
        return tensors[0]
    return torch.stack([x.T if x.ndim == 2 else x for x in tensors])


def of_one(tensor, number):
    """The view of a stacked tensor that belongs to one network, or what all have in common."""
    if not torch.is_tensor(tensor) or tensor.ndim == 0:
        return tensor
    return tensor[number].T if tensor.ndim == 3 else tensor[number]


def some_of(module, which):
    """A stacked module with the parameters of some networks, chosen by a slice or a list, or of one, by its number."""
    one = isinstance(which, int)
    if not (one or module._parameters or module._modules):
        return module
    kind = getattr(module, "single", type(module)) if one else type(module)
    made = kind.__new__(kind)
    made.__dict__.update(module.__dict__)
    if one:  # it is a module of its own: what is registered with it stays there
        made.__dict__.update({name: own.copy() for name, own in module.__dict__.items() if isinstance(own, dict)})
    made._parameters = {
        name: of_one(own, which) if one or own is None else own[which] for name, own in module._parameters.items()
    }
    made._modules = {name: some_of(child, which) for name, child in module._modules.items()}
    return made


class StackedNetworks(nn.ModuleList):
    """Networks of one shape as one: their parameters are held stacked, and every layer is one batched product.

    As a list, and in state dicts, they are networks; the parameters of these are views of the stacked ones.
    """

    def __init__(self, networks):
        super().__init__()
        self.number = len(networks)
        self.stacked = stacked(list(networks))

    def __len__(self):
        return self.number

    def __iter__(self):
        return (some_of(self.stacked, number) for number in range(self.number))

    def __getitem__(self, number):
        return list(self)[number]

    def forward(self, x, drawn=None):
        """Outputs [N, ..., F] for inputs [..., in], or those of the networks `drawn`: integers, or a tensor of them."""
        rows = x.reshape(-1, x.shape[-1])
        if drawn is None:
            out = self.stacked(rows)
        elif isinstance(drawn, torch.Tensor):
            chosen = {name: own[drawn] for name, own in self.stacked.named_parameters()}
            out = torch.func.functional_call(self.stacked, chosen, (rows,))
        else:
            if len(drawn) == 2 and drawn[0] < drawn[1]:
                drawn = slice(drawn[0], drawn[1] + 1, drawn[1] - drawn[0])  # views, no copies
            out = some_of(self.stacked, drawn)(rows)
        return out.reshape(len(out), *x.shape[:-1], out.shape[-1])

    def apply(self, fn):
        """Apply `fn` to each network by itself, with parameters laid out as those of a single one, and then to this."""
        for network in self:
            held = [(module._parameters, name) for module in network.modules() for name in module._parameters]
            held = [(own, name, own[name]) for own, name in held if own[name] is not None]
            for own, name, view in held:
                own[name] = nn.Parameter(view.detach().clone(memory_format=torch.contiguous_format))
            network.apply(fn)
            with torch.no_grad():
                for own, name, view in held:
                    view.copy_(own[name])
        fn(self)
        return self

    def state_dict(self, *args, **kwargs):
        """The state dict of a list of the networks."""
        return nn.ModuleList(list(self)).state_dict(*args, **kwargs)

    def _load_from_state_dict(self, state_dict, prefix, *rest):
        for name, _ in self.stacked.named_parameters():
            names = [f"{prefix}{number}.{name}" for number in range(self.number)]
            own = [state_dict.get(each) for each in names]
            if all(each is not None and each.shape == own[0].shape for each in own):
                state_dict[f"{prefix}stacked.{name}"] = of_all([state_dict.pop(each) for each in names])
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def number_apart(self, optim):
        """Let state dicts of an optimiser of these parameters have one entry per network, both ways."""
        optim.register_state_dict_post_hook(self._apart)
        optim.register_load_state_dict_pre_hook(self._together)

    def _apart(self, optim, saved):
        def own(x, number):
            return of_one(x, number).clone(memory_format=torch.contiguous_format) if torch.is_tensor(x) else x

        def split(entries):
            numbers = range(self.number)
            return [entry and {key: own(x, k) for key, x in entry.items()} for k in numbers for entry in entries]

        return self._renumbered(optim, saved, 1, split)

    def _together(self, optim, saved):
        def join(entries):
            count = len(entries) // self.number
            each = [entries[k::count] for k in range(count)]
            return [all(own) and {key: of_all([x[key] for x in own]) for key in own[0]} for own in each]

        sizes = [[len(group["params"]) for group in groups] for groups in (saved["param_groups"], optim.param_groups)]
        return saved if sizes[0] == sizes[1] else self._renumbered(optim, saved, self.number, join)

    def _renumbered(self, optim, saved, times, change):
        """State of an optimiser whose entries for these parameters, `times` as many as there are here, are changed."""
        mine, state, groups = [id(own) for own in self.parameters()], [], []
        for group, held in zip(saved["param_groups"], optim.param_groups):
            entries = [saved["state"].get(number) for number in group["params"]]
            at = next((k for k, own in enumerate(held["params"]) if id(own) == mine[0]), None)
            if at is not None:
                until = at + times * len(mine)
                entries[at:until] = change(entries[at:until])
            groups.append({**group, "params": list(range(len(state), len(state) + len(entries)))})
            state += entries
        return {**saved, "state": {k: entry for k, entry in enumerate(state) if entry}, "param_groups": groups}
'''
BY_HAND = ("torch.vmap($*_)", "vmap($*_)")
DONE = Where("layers", BY_HAND, "QEnsemble")

NOW = "self._Qs = StackedNetworks(self._Qs)"
STACKS = ("torch.stack({})", "torch.stack({}, dim=0)", "torch.stack({}, 0)")
OUTPUTS = ("[$q($x) for $q in self._Qs]", "list(map(lambda $q: $q($x), self._Qs))")
COLLECTED = "$outs = []\nfor $q in self._Qs:\n    $outs.append($q($x))\n"
ONE_BY_ONE = {
    code: now
    for stack in STACKS
    for code, now in (
        *((stack.format(outputs), "self._Qs($x)") for outputs in OUTPUTS),
        *(
            (
                f"$outs = {outputs}\nreturn $@given[{stack.format('$outs')}]",
                "$outs = self._Qs($x)\nreturn $@given[$outs]",
            )
            for outputs in OUTPUTS
        ),
        (f"{COLLECTED}return $@given[{stack.format('$outs')}]", "return $@given[self._Qs($x)]"),
    )
}
# Trees that ask for some of the networks only, by their numbers.
CHOSEN = tuple(
    f"{gather}$chosen = self._Qs if $drawn is None else [self._Qs[$k] for $k in $drawn]\n{outputs}"
    for stack in STACKS
    for outputs in (
        f"return $@given[{stack.format('[$q($x) for $q in $chosen]')}]",
        f"$outs = [$q($x) for $q in $chosen]\nreturn $@given[{stack.format('$outs')}]",
    )
    for gather in ("", "if isinstance($drawn, torch.Tensor):\n    $$gather\n")
)
# The networks are functions of their parameters: nothing normalises these, or counts what went through.
WEIGHTS_ALONE = Where(
    "layers",
    tuple(
        form
        for name in ("spectral_norm", "weight_norm", "BatchNorm1d", "register_parametrization", "register_forward_hook")
        for form in (f"{name}($*_)", f"$_.{name}($*_)")
    ),
    absent=True,
)
HOOKS = tuple(
    Where(role, ("$_.register_forward_hook($*_)", "$_.register_forward_pre_hook($*_)"), absent=True)
    for role in ("agent", "world_model")
)
# They are of one shape.
ALIKE = Where(
    "layers",
    (
        "[mlp($_, $each, $*_) for $each in $_]",
        "[mlp($_, $_[$each], $*_) for $each in $_]",
        "[mlp($*_) for $_, $_ in $_]",
        "$_ % $_",
    ),
    "QEnsemble.__init__",
    absent=True,
)
STATELESS = (
    Where("layers", "self.register_buffer($*_)", absent=True),
    Where(
        "layers",
        ("self.$_ = $_", "self.$_ += $_", *(f"self.$_.{name}($*_)" for name in ("copy_", "lerp_", "mul_", "add_"))),
        "NormedLinear.forward",
        absent=True,
    ),
)
# Their layers are torch's, called as such, and have no other parameters.
USUAL_LAYERS = (
    Where("layers", ("nn.Parameter($*_)", "F.layer_norm($*_)"), "NormedLinear", absent=True),
    Where(
        "layers",
        (
            *(f"{linear}($_, self.weight, $*_)" for linear in ("F.linear", "nn.functional.linear")),
            "nn.Linear.forward($*_)",
        ),
        absent=True,
    ),
)
FUNCTIONAL = (WEIGHTS_ALONE, *STATELESS, *HOOKS, ALIKE, *USUAL_LAYERS)


PATCH = Patch(
    title="Q ensemble as one batched network",
    severity=Severity.MINOR,
    changes="the Q ensemble is one functional evaluation over stacked parameters, which are held stacked",
    after=("q-dropout",),
    by_hand=(
        Where("layers", BY_HAND),
        Where("layers", "self._Qs = nn.ModuleList($*_)", "QEnsemble.__init__", absent=True),
        Where("layers", ("[$q($x) for $q in $_]", "$_.append($q($x))"), absent=True),
    ),
    only_where=(
        Fact("called_nowhere", ("register_forward_hook", "register_forward_pre_hook")),
        Fact("alike", ("layers", "QEnsemble", "self._Qs", "dropout")),
        Fact("not_told_apart", ("parameters",)),
        Fact("not_named", ("_Qs",)),
        Fact("unchanged", ("layers", "inputs", "evaluated")),
        Fact("draws_nothing", ("layers", "QEnsemble")),
        Fact("not_derived", ("layers", "QEnsemble")),
        Fact("taken_together", ("_Qs", "QEnsemble")),
        Fact("made_of", ("layers", "QEnsemble", "self._Qs", "mlp", "Sequential")),
    ),
    edits=(
        Edit(
            "forward",
            "layers",
            "QEnsemble",
            (
                *(Shape(code, now, "self._Qs($x)", where=FUNCTIONAL) for code, now in ONE_BY_ONE.items()),
                *(
                    Shape(
                        f"def _forward_impl(self, $x, $drawn=None):\n{indent(code, '    ')}",
                        "def _forward_impl(self, $x, $drawn=None):\n    return $@given[self._Qs($x, $drawn)]",
                        where=FUNCTIONAL,
                    )
                    for code in CHOSEN
                ),
            ),
            present=BY_HAND,
        ),
        Edit(
            "parameters",
            "layers",
            "QEnsemble.__init__",
            (
                rewrite(
                    f"""
                      def __init__(self, $*arguments):
                          $$all
                    +     {NOW}
                    """,
                    present=NOW,
                ),
            ),
            unless=(DONE,),
        ),
        Add("stack", "layers", "", STACKED, after="mlp", unless=(DONE,)),
        Edit(
            "optimiser",
            "agent",
            "TDMPC2",
            (
                rewrite(
                    """
                      self.optim = torch.optim.Adam($*arguments)
                    + self.model._Qs.online._Qs.number_apart(self.optim)
                    """,
                    present="self.model._Qs.online._Qs.number_apart($_)",
                ),
            ),
            optional=True,
            unless=(DONE,),
        ),
    ),
)


def consequence(numbers: Numbers) -> str:
    count = numbers.setting("num_q")
    networks = f"The {show(count)} Q networks" if count is not None else "The Q networks"
    return f"{networks} are called one after the other, in the reference in 1 batched call."
