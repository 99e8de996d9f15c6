"""What is done to a value of a batch is done to new values beside it, or the function is not understood."""

from textwrap import dedent, indent

import libcst as cst
import pytest

from newtfix.match.carried import carry
from newtfix.match.held import Stopped

# Bodies of a function, and what becomes of them: lines with `+` are new, those with `-` go.
CARRIED = {
    "unpacked": """
        - obs, action, reward = self.draw(device)
        + obs, action, mu, std, reward = self.draw(device)
        - return obs, action, reward
        + return obs, action, mu, std, reward
    """,
    "with a rest": """
        - obs, action, *rest = self.draw()
        + obs, action, mu, std, *rest = self.draw()
        - return (obs, action, *rest)
        + return (obs, action, mu, std, *rest)
    """,
    "unpacked later": """
          batch = tuple(x.to(device) for x in self.draw())
        - obs, a, reward = batch
        + obs, a, a_mu, a_std, reward = batch
        - return obs, a[1:], reward
        + return obs, a[1:], a_mu[1:], a_std[1:], reward
    """,
    "moved in a branch": """
        - obs, action, reward = self.draw()
        + obs, action, mu, std, reward = self.draw()
          if obs.device != device:
              obs = obs.to(device)
              action = action.to(device, non_blocking=True)
        +     mu = mu.to(device, non_blocking=True)
        +     std = std.to(device, non_blocking=True)
          else:
              assert action.shape[0] == 3
        - return obs, action, reward
        + return obs, action, mu, std, reward
    """,
    "moved together": """
        - obs, action, reward = self.draw()
        + obs, action, mu, std, reward = self.draw()
        - obs, action = obs.to(device), action.to(device)
        + obs, action, mu, std = obs.to(device), action.to(device), mu.to(device), std.to(device)
        - return [obs, action, reward]
        + return [obs, action, mu, std, reward]
    """,
    "in a loop over parts": """
        - obs, action, reward = self.draw()
        + obs, action, mu, std, reward = self.draw()
        - obs, action, reward = (x.to(device) for x in (obs, action, reward))
        + obs, action, mu, std, reward = (x.to(device) for x in (obs, action, mu, std, reward))
        - return tuple(map(torch.clone, (obs, action, reward)))
        + return tuple(map(torch.clone, (obs, action, mu, std, reward)))
    """,
    "two batches joined": """
        - obs0, action0, reward0 = self.draw()
        + obs0, action0, mu0, std0, reward0 = self.draw()
        - obs1, action1, reward1 = self.draw()
        + obs1, action1, mu1, std1, reward1 = self.draw()
        - pairs = ((obs0, obs1), (action0, action1), (reward0, reward1))
        + pairs = ((obs0, obs1), (action0, action1), (mu0, mu1), (std0, std1), (reward0, reward1))
          return tuple(torch.cat(pair, dim=1) for pair in pairs)
    """,
    "by a function that joins all": """
        - (o0, a0, r0), (o1, a1, r1) = self.draw(), self.draw()
        + (o0, a0, a0_mu, a0_std, r0), (o1, a1, a1_mu, a1_std, r1) = self.draw(), self.draw()
        - return join(o0, o1), join(a0, a1), join(r0, r1)
        + return join(o0, o1), join(a0, a1), join(a0_mu, a1_mu), join(a0_std, a1_std), join(r0, r1)
    """,
    "written into room that is kept": """
        - obs, action, reward = self.draw()
        + obs, action, mu, std, reward = self.draw()
          self.out[:, :2] = obs
        + action_mu = torch.empty_like(self.action)
        + action_std = torch.empty_like(self.action)
          self.action[:, :2] = action
        + action_mu[:, :2] = mu
        + action_std[:, :2] = std
        - return self.out, self.action, reward
        + return self.out, self.action, action_mu, action_std, reward
    """,
    "a choice": """
        - obs, action, reward = self.draw()
        + obs, action, mu, std, reward = self.draw()
          action = action if warm else action.cpu()
        + mu = mu if warm else mu.cpu()
        + std = std if warm else std.cpu()
        - return obs, action, reward
        + return obs, action, mu, std, reward
    """,
}
# The same, whatever is done to the batch as a whole.
HANDED_ON = (
    "return self.draw(device)",
    "batch = self.draw(device)\nreturn batch",
    "return tuple(x.to(device) for x in self.draw())",
    "rows = self.draw().view(3, -1).permute(1, 0)\nreturn self.split(rows)",
    'rows = self.draw()\nreturn rows["obs"], rows["action"][1:]',
    "return tuple(torch.cat(pair) for pair in zip(self.draw(), self.draw(), strict=True))",
    "own = self.draw()\nif own is None:\n    return None\nreturn own",
)
# The statement that stops it, by its place among those of the function.
STOPPED = {
    "scaled": ("obs, action, r = self.draw()\naction = action * 2\nreturn obs, action, r", 1),
    "changed in place": ("obs, action, r = self.draw()\naction += 1\nreturn obs, action, r", 1),
    "changed by a method": ("obs, action, r = self.draw()\naction.clamp_(-1, 1)\nreturn obs, action, r", 1),
    "changed in part": ("obs, action, r = self.draw()\naction[:, 0] = 0\nreturn obs, action, r", 1),
    "written over": ("obs, action, r = self.draw()\ntorch.neg(obs, out=action)\nreturn obs, action, r", 1),
    "clipped alone": ("obs, action, r = self.draw()\naction = clip(action)\nreturn obs, action, r", 1),
    "set anew": ("obs, action, r = self.draw()\naction = self.other()\nreturn obs, action, r", 1),
    "scaled beside others": ("obs, action, r = self.draw()\nobs, action = obs, 2 * action\nreturn obs, action, r", 1),
    "from elsewhere": ("obs, action, r = self.ahead()\nobs = obs.to(device)\nreturn obs, action, r", 0),
    "not returned": ("obs, action, r = self.draw()\nreturn obs, r", 1),
    "returned twice": ("obs, action, r = self.draw()\nreturn obs, action, action, r", 1),
    "returned in a dict": ('obs, action, r = self.draw()\nreturn {"action": action}', 1),
    "picked by number": ("batch = self.draw()\nreturn batch[0], batch[1]", 1),
    "cut": ("batch = self.draw()\nreturn batch[:2]", 1),
    "spread": ("batch = self.draw()\nreturn (*batch, 1)", 1),
    "counted": ("batch = self.draw()\nassert len(batch) == 3\nreturn batch", 1),
    "named": ('batch = self.draw()\nreturn dict(zip(("obs", "action"), batch))', 1),
    "in a function inside": ("obs, action, r = self.draw()\ndef f():\n    return action\nreturn obs, f(), r", 1),
    "star before it": ("*front, reward = self.draw()\nreturn front, reward", 0),
}


def function(body: str) -> cst.FunctionDef:
    (statement,) = cst.parse_module(f"def sample(self, device):\n{indent(body.strip(), '    ')}\n").body
    return statement


def carried(body: str):
    return carry(function(body), ("self.draw($*_)",), "action", ("mu", "std"), 1)


def sides(diff: str) -> tuple[str, str]:
    rows = [row for row in dedent(diff).splitlines() if row]
    return tuple("\n".join(row[2:] for row in rows if row[0] != mark) for mark in "+-")


@pytest.mark.parametrize("diff", CARRIED.values(), ids=CARRIED)
def test_what_is_done_to_the_value_is_done_to_the_new_ones(diff):
    before, after = sides(diff)
    found = carried(before)
    assert cst.Module([found.function]).code == cst.Module([function(after)]).code
    assert found.taken
    assert not any(found.there)


@pytest.mark.parametrize("diff", CARRIED.values(), ids=CARRIED)
def test_values_that_are_carried_are_seen_to_be_there(diff):
    found = carried(sides(diff)[1])
    assert [[name.rpartition("_")[2].rstrip("01") for name, _ in there] for there in found.there] == [
        ["mu", "std"]
    ] * len(found.taken)
    for name, at in found.there[0]:
        carry(function(sides(diff)[1]), ("self.draw($*_)",), name, ("mu", "std"), at)


@pytest.mark.parametrize("body", HANDED_ON)
def test_a_batch_that_is_handed_on_needs_nothing(body):
    found = carried(body)
    assert not found.taken
    assert cst.Module([found.function]).code == cst.Module([function(body)]).code


@pytest.mark.parametrize(("body", "at"), STOPPED.values(), ids=STOPPED)
def test_the_first_statement_that_nobody_can_tell_of_stops_it(body, at):
    with pytest.raises(Stopped) as stopped:
        carried(body)
    assert cst.Module([stopped.value.statement]).code == cst.Module([function(body).body.body[at]]).code
