"""How far a run is: a bar on a terminal, a line now and then elsewhere."""

import math
import sys
import time
from typing import Optional, TextIO

from tqdm import tqdm

INTERVAL = 10.0  # seconds between two lines where there is no terminal
BAR = "{desc:<10} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}{postfix}]"


class Progress:
    """Shows step, phase, return, speed and time left of a run of `total` environment steps.

    The first `update` sets where the count begins, so a resumed run shows its own speed. Other ranks than 0 show
    nothing.
    """

    def __init__(self, total: int, rank: int = 0, stream: Optional[TextIO] = None):
        self._total = total
        self._stream = sys.stderr if stream is None else stream
        self._silent = rank > 0
        self._terminal = not self._silent and getattr(self._stream, "isatty", lambda: False)()
        self._bar: Optional[tqdm] = None
        self._phase: Optional[str] = None
        self.episode_return: Optional[float] = None  # shown from now on; `update` may set it too
        self._first: Optional[tuple[float, int]] = None  # time and step of the first update
        self._last_line = -math.inf  # time of the last line
        self._step = 0

    def update(self, step: int, phase: str, episode_return: Optional[float] = None) -> None:
        """Report that `step` was reached in `phase` (seeding, burst, training, evaluation)."""
        if self._silent:
            return
        if episode_return is not None:
            self.episode_return = float(episode_return)
        changed, self._phase, self._step = phase != self._phase, phase, step
        if self._terminal:
            self._draw(changed)
        elif changed or time.monotonic() - self._last_line >= INTERVAL:
            self._print()

    def _draw(self, changed: bool) -> None:
        if self._bar is None:
            self._bar = tqdm(
                total=self._total,
                initial=self._step,
                unit=" steps",
                file=self._stream,
                bar_format=BAR,
                dynamic_ncols=True,
                leave=False,
            )
        if changed:
            self._bar.set_description_str(self._phase, refresh=False)
        if self.episode_return is not None:
            self._bar.set_postfix_str(f"return {self.episode_return:.1f}", refresh=False)
        self._bar.update(min(self._step, self._total) - self._bar.n)
        if changed:
            self._bar.refresh()

    def _print(self) -> None:
        now = self._last_line = time.monotonic()
        share = min(self._step / self._total, 1.0)
        pieces = [f"{self._phase:<10}", f"step {self._step:>9,} of {self._total:,} ({share:.0%})"]
        if self.episode_return is not None:
            pieces.append(f"return {self.episode_return:.1f}")
        if self._first is None:
            self._first = now, self._step
        elif self._step > self._first[1]:
            rate = (self._step - self._first[1]) / max(now - self._first[0], 1e-9)
            left = tqdm.format_interval(max(self._total - self._step, 0) / rate)
            pieces.append(f"{rate:,.0f} steps/s, {left} left")
        self._stream.write("  ".join(pieces) + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Remove the bar; a second call does nothing."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *exc_info) -> None:
        self.close()
