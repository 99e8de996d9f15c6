"""Trees that several tables put statements into."""

TRAINER = """
=== trainer.py
def zero(x):
    x.zero_()
def zero_it(value):
    zero(value)
class Trainer:
    def __init__(self, cfg, env, agent, buffer):
        self.cfg, self.env, self.agent, self.buffer = cfg, env, agent, buffer
    METHODS
"""
AGENT = """
=== tdmpc2.py
def zero(x):
    x.zero_()
def zero_it(value):
    zero(value)
class TDMPC2:
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
BUFFER = """
=== common/buffer.py
def zero(x):
    x.zero_()
def zero_it(value):
    zero(value)
def looks(x):
    return x.sum()
class Buffer:
    METHODS
"""
