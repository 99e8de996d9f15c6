"""Half an idea."""

from trainer import Trainer

class Faster(Trainer):
    def train(self)
        self._step += 1
