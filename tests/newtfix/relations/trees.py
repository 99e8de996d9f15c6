"""Trees that several tables put statements into."""

# Functions that change what they are given, and one that looks at it.
HELPERS = """
def zero(x):
    x.zero_()
def zero_it(value):
    zero(value)
def looks(x):
    return x.sum()
"""

TRAINER = f"""
=== trainer.py{HELPERS}class Trainer:
    def __init__(self, cfg, env, agent, buffer):
        self.cfg, self.env, self.agent, self.buffer = cfg, env, agent, buffer
    METHODS
"""
AGENT = f"""
=== tdmpc2.py{HELPERS}class TDMPC2:
    METHODS
"""
LOOP = """
=== trainer.py
class Trainer:
    def train(self, t, flag):
        while self._step <= self.cfg.steps:
            obs, reward, terminated, truncated, info = self.env.step(action)
            done = terminated | truncated
            self._tds[ep_len] = td
            HERE
    def _store(self, t):
        self.buffer.add(t)
    def _spend(self):
        self.agent.update(self.buffer)
"""
SCRIPT = """
=== other.py
HERE
"""
BUFFER = f"""
=== common/buffer.py{HELPERS}class Buffer:
    METHODS
"""
