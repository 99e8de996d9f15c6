"""A video of the first environment's first episode."""

import importlib.util
from pathlib import Path

from .settings import ConfigError

FPS = 25
KINDS = (".gif", ".mp4")


class Video:
    """Frames of the first episode of environment 0, written when the block is left; without a path, nothing at all.

    Raises ConfigError, before anything has run, where frames cannot be rendered or written.
    """

    def __init__(self, path, env):
        self._path = Path(path) if path else None
        self._env, self._frames, self._over = env, [], path is None
        if self._path is not None:
            _check(self._path)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None and self._frames:
            import imageio

            self._path.parent.mkdir(parents=True, exist_ok=True)
            imageio.mimsave(self._path, self._frames, fps=FPS)

    def begin(self):
        """The first observation is there."""
        self._take()

    def step(self, done):
        """A step was taken; `done`: it was the episode's last, and the next one has begun already."""
        if done:
            self._over = True
        self._take()

    def _take(self):
        if not self._over:
            self._frames.append(self._frame())

    def _frame(self):
        try:
            frame = self._env.render()
        except Exception as error:  # each simulator has its own ways to say that there is no OpenGL
            raise _no_frames(error) from error
        if frame is None:
            raise _no_frames("the environment returned no frame")
        return frame


def _no_frames(error):
    reason = str(error).strip().splitlines()[-1:] or [type(error).__name__]
    valid = "MUJOCO_GL=egl (a GPU's driver) or MUJOCO_GL=osmesa (the system's libosmesa6), or no video"
    return ConfigError("video", None, f"video: nothing can be rendered here: {reason[0]}", valid)


def _check(path):
    if path.suffix not in KINDS:
        raise ConfigError(
            "video", path, f"video={path} is not available", " or ".join(f"a {kind} file" for kind in KINDS)
        )
    if importlib.util.find_spec("imageio") is None:
        raise ConfigError("video", path, "a video needs imageio, which is not installed", "pip install imageio")
    if path.suffix == ".mp4" and importlib.util.find_spec("imageio_ffmpeg") is None:
        valid = "pip install imageio-ffmpeg, or name a .gif file"
        raise ConfigError("video", path, "a .mp4 needs imageio-ffmpeg, which is not installed", valid)
