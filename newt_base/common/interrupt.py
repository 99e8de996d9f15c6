"""Requests to end a run: Ctrl-C, SIGTERM and SIGHUP, which training heeds where it can be resumed from."""

import contextlib
import os
import signal
import threading
import time

GRACE = 10.0  # seconds that training gets to reach such a place, which a long burst or evaluation may not
PAUSE = 0.5  # seconds within which a second signal counts as the first one: it went to a whole group
ENDING = tuple(signal.Signals[name] for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class Interrupted(KeyboardInterrupt):
    """The run was asked to end by the signal of this `number`."""

    def __init__(self, number):
        super().__init__(number)
        self.number = number

    @property
    def status(self):
        """The exit status that shells expect."""
        return 128 + self.number


class Requests:
    """While entered, in the main thread, signals raise Interrupted; while training, the first one waits for it.

    Not `active`, they do what they do without it: torchrun ends ranks in its own way.
    """

    def __init__(self, active=True):
        self.training = False
        self._active = active
        self._number = None
        self._timer = None
        self._since = 0.0  # when the first signal was heard
        self._before = {}

    def __enter__(self):
        if self._active and threading.current_thread() is threading.main_thread():
            kept = [number for number in ENDING if signal.getsignal(number) is not signal.SIG_IGN]  # as nohup has it
            self._before = {number: signal.signal(number, self._heard) for number in kept}
        return self

    def __exit__(self, *exc_info):
        self._no_longer_wait()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _heard(self, number, _):
        first, self._number = self._number is None, self._number or number
        again = not first and time.monotonic() - self._since > PAUSE
        self._since = time.monotonic() if first else self._since
        if self.training and not first and not again:
            return
        if not (self.training and first):
            raise Interrupted(self._number)
        self._timer = threading.Timer(GRACE, os.kill, (os.getpid(), number))
        self._timer.daemon = True
        self._timer.start()

    @contextlib.contextmanager
    def while_training(self, waits=True):
        """While entered, the first signal waits for training, if it `waits`."""
        self.training = waits
        try:
            yield
        finally:
            self.training = False
            self._no_longer_wait()

    def _no_longer_wait(self):
        if self._timer is not None:
            self._timer.cancel()

    @property
    def pending(self):
        """The number of the signal that training should end for, or None."""
        return self._number
