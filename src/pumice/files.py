"""Writing files so that a failure loses nothing. A leaf: every part may import it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from pumice.errors import InputError


def write_atomically(path: Path, content: bytes | Iterable[bytes]) -> None:
    """`content`, in one piece or in several, into `path`, all of it or none: a temporary file beside it, renamed into place.

    Raises InputError where the folder is missing or cannot be written; what was at `path` is then untouched.
    """
    temporary = ""
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = file.name
            file.writelines([content] if isinstance(content, bytes) else content)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        raise InputError(
            f"{path}: cannot be written ({error.strerror})", "choose a folder that exists and is writable"
        ) from error
