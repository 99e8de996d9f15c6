"""Files that appear whole or not at all, and say themselves whether they are still what was written.

A file that torch saves is a zip archive. Its comment, which nobody else reads, holds the SHA-256 of all the rest.
"""

import contextlib
import errno
import hashlib
import os
import zipfile
from pathlib import Path

MARK = b"sha256:"
SEAL = len(MARK) + 64  # bytes of the comment
END = 2  # bytes in front of it, which say how long it is
CHUNK = 1 << 22


class _Hashed:
    """A binary file that is written from front to back; keeps the digest of it, and the error that ended writing."""

    def __init__(self, file):
        self._file, self.digest, self.error = file, hashlib.sha256(), None

    def write(self, data):
        if self.error is not None:  # torch goes on to write the end of its archive
            return len(data)
        try:
            self._file.write(data)
        except OSError as error:
            self.error = error
            raise
        self.digest.update(data)
        return len(data)

    def flush(self):
        self._file.flush()


def opened_anew(path):
    """A new file of that name, to write bytes into; what has the name already, a link perhaps, goes first."""
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666), "w+b")


def write_whole(path, save):
    """Write a file with `save(file)`, an archive of torch's, seal it, and flush it to the disk; returns its digest.

    It appears under its name when all of that is done. Raises OSError, with the path in it, and leaves nothing then.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with opened_anew(partial) as file:
            hashed = _Hashed(file)
            try:
                save(hashed)
            except RuntimeError:
                if hashed.error is None:
                    raise
            if hashed.error is not None:
                raise hashed.error
            digest = hashed.digest.hexdigest()
            _seal(file, digest)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
        _flush_folder(path.parent)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
    return digest


def _seal(file, digest):
    file.seek(-END, os.SEEK_END)
    file.write(SEAL.to_bytes(END, "little") + MARK + digest.encode())


def _flush_folder(folder):
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def digest_of(path):
    """The digest in a file that was sealed, or None. Raises ValueError where the file is not what was written."""
    if Path(path).exists() and not Path(path).is_file():  # to read a pipe or a device may never end
        raise ValueError(f"{path} is no regular file")
    with Path(path).open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - SEAL))
        comment = file.read()
        if not comment.startswith(MARK):
            return None
        file.seek(size - SEAL - END)
        whole = file.read(END) == SEAL.to_bytes(END, "little")
        found = hashlib.sha256()
        file.seek(0)
        left = size - SEAL - END
        while left > 0 and (data := file.read(min(CHUNK, left))):
            found.update(data)
            left -= len(data)
    found.update(bytes(END))
    if not whole or found.hexdigest().encode() != comment[len(MARK) :]:
        raise ValueError(f"{path} is damaged: its digest does not fit its content")
    return found.hexdigest()


def check(path):
    """Raise ValueError where a file's digest, or the checksums of an archive without one, say that it is damaged."""
    if digest_of(path) is None and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise ValueError(f"{path} is damaged: the checksum of {damaged} does not fit its content")


def replace_text(path, text):
    """Write a text file that appears under its name when it is complete. Raises OSError with the path in it."""
    partial = path.with_name(f"{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with opened_anew(partial) as file:
            file.write(text.encode())
        os.replace(partial, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error


def append(path, text):
    """Add whole lines to a text file: all of them or, with an OSError that names the path, nothing."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o666)
    size = os.fstat(handle).st_size
    try:
        data = memoryview(text.encode())
        while data:
            data = data[os.write(handle, data) :]
    except OSError as error:
        os.ftruncate(handle, size)
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        os.close(handle)


def words(error):
    """What went wrong with a file, in words, and what to do about it."""
    where = f" ({error.filename})" if getattr(error, "filename", None) else ""
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"there is no room left on the disk{where}"
    return f"{getattr(error, 'strerror', None) or error}{where}"
