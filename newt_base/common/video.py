"""A video of one episode."""

import importlib.util
from pathlib import Path

from .settings import ConfigError

FPS = 25
KINDS = (".gif", ".mp4")


class Video:
    """Frames of one episode, written to `path` when it is over.

    `render` gives a frame. Raises ConfigError, before the episode has begun, where frames cannot be drawn or written.
    """

    def __init__(self, path, render):
        self.path = Path(path)
        self.over = False
        self._render, self._frames = render, []
        check_path(self.path)

    def begin(self):
        """The first observation is there."""
        if not self.over:
            self._frames = [self._frame()]

    def step(self, done):
        """A step was taken; `done`: it was the last, and the next episode has begun already."""
        if self.over:
            return
        if not done:
            self._frames.append(self._frame())
            return
        import imageio

        self.over = True
        self.path.parent.mkdir(parents=True, exist_ok=True)
        speed = {"fps": FPS} if self.path.suffix == ".mp4" else {"duration": 1000 / FPS}
        imageio.mimsave(self.path, self._frames, **speed)
        self._frames = []

    def _frame(self):
        try:
            frame = self._render()
        except Exception as error:  # each simulator has its own ways to say that there is no OpenGL
            raise _no_frames(error) from error
        if frame is None:
            raise _no_frames("the environment gave none")
        return frame


def _no_frames(error):
    reason = str(error).strip().splitlines()[-1:] or [type(error).__name__]
    if "pygame" in reason[0]:  # Gymnasium's own tasks; the extra that it names differs between its versions
        return ConfigError(
            "video", None, "a video of this task needs pygame, which is missing", "pip install pygame-ce"
        )
    valid = "MUJOCO_GL=egl (a GPU's driver) or MUJOCO_GL=osmesa (the system's libosmesa6), or no video"
    return ConfigError("video", None, f"no frame can be drawn for a video: {reason[0]}", valid)


def check_path(path):
    """Raise ConfigError where no video can be written to such a file."""
    if path.suffix not in KINDS:
        raise ConfigError("video", path, f"video={path} is not available", "a .gif file, or a .mp4 file")
    if importlib.util.find_spec("imageio") is None:
        raise ConfigError("video", path, "a video needs imageio, which is not installed", "pip install imageio")
    if path.suffix == ".mp4" and importlib.util.find_spec("imageio_ffmpeg") is None:
        valid = "pip install imageio-ffmpeg, or name a .gif file"
        raise ConfigError("video", path, "a .mp4 needs imageio-ffmpeg, which is not installed", valid)
