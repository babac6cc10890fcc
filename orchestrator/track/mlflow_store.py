"""Where MLflow keeps a sweep: the address, whether it answers, and the store that is made when none is named."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from orchestrator.core.uris import lacks_password, with_password, without_password

__all__ = [
    "TrackingUnreachable",
    "artifact_root",
    "check_reachable",
    "default_uri",
    "make_local_store",
    "one_line",
    "quieten",
    "status_of",
    "usable_uri",
]

PASSWORD = "MLFLOW_TRACKING_PASSWORD"

_SQLITE: Final = b"SQLite format 3\0"
"""How every SQLite file begins that is not empty."""


class TrackingUnreachable(Exception):
    """The tracking server does not answer; found before anything is spent."""


def usable_uri(uri: str) -> str:
    """The address with its password back where it was recorded without one.

    Files of a run never hold a password; a resume takes it from ``MLFLOW_TRACKING_PASSWORD``, or from the address
    if that is given again. Without either the address stays as it is, which :func:`check_reachable` refuses.
    """
    password = os.environ.get(PASSWORD)
    return with_password(uri, password) if password and lacks_password(uri) else uri


def artifact_root(uri: str) -> Path | None:
    """The folder for the artifacts of a store that this process writes itself; None where a server keeps them."""
    scheme = uri.partition(":")[0]
    if scheme == "sqlite":
        return Path(uri.removeprefix("sqlite:///")).parent / "mlartifacts"
    return None if scheme in ("http", "https", "databricks", "file") else Path.cwd() / "mlartifacts"


def default_uri(folder: Path) -> str:
    """The SQLite store in ``folder``, absolute."""
    return f"sqlite:///{(folder / 'mlflow.db').absolute()}"


def make_local_store(uri: str) -> None:
    """Create a SQLite store that is not there yet, under another name until it is complete.

    MLflow makes its tables one by one, and a driver that is killed meanwhile would leave a file that no later run
    can open.
    """
    from mlflow import MlflowClient

    path = Path(uri.removeprefix("sqlite:///"))
    if not uri.startswith("sqlite:///") or path.exists():
        return
    for left in path.parent.glob(f"{path.name}.*.new"):
        # Of a driver that was killed at this point.
        if not Path("/proc", left.name.split(".")[-2]).exists():
            left.unlink(missing_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.new")
    MlflowClient(tracking_uri=f"sqlite:///{partial}").search_experiments(max_results=1)
    # A link, unlike a rename, never replaces a store that somebody else completed first.
    with contextlib.suppress(FileExistsError):
        os.link(partial, path)
    partial.unlink()


def check_reachable(uri: str, *, timeout_s: float = 5.0) -> None:
    """Ask a tracking server, or a database, whether it is there and lets this user in.

    Who the user is comes from the environment (``MLFLOW_TRACKING_USERNAME`` and ``MLFLOW_TRACKING_PASSWORD``, or
    ``MLFLOW_TRACKING_TOKEN``) or from MLflow's own credentials file, never from a configuration.

    Raises:
        TrackingUnreachable: one sentence with the address and what was wrong.
    """
    shown = without_password(uri)
    if lacks_password(uri):
        raise TrackingUnreachable(
            f"tracking.uri={shown} was recorded without its password: set {PASSWORD} or give tracking.uri again"
        )
    scheme = urlsplit(uri).scheme
    if scheme == "sqlite":
        _check_file(uri)
    if scheme in ("sqlite", "file", "databricks"):
        return
    if scheme not in ("http", "https"):
        _check_access(uri)
        return
    import httpx2

    try:
        answer = httpx2.get(f"{uri.rstrip('/')}/health", timeout=timeout_s)
    except httpx2.HTTPError as error:
        raise TrackingUnreachable(
            f"tracking.uri={shown} does not answer ({error}); start the server or leave the key out for a local "
            "file"
        ) from error
    if answer.status_code >= 500:
        raise TrackingUnreachable(
            f"tracking.uri={shown} answers with status {answer.status_code}; check the server"
        )
    _check_access(uri)


def _check_file(uri: str) -> None:
    """Refuse a SQLite store that cannot be made or written: MLflow itself would try for a minute."""
    path = Path(uri.removeprefix("sqlite:///").partition("?")[0]).absolute()
    if not uri.startswith("sqlite:///") or path.name == ":memory:":
        return
    nearest = path.parent
    while not nearest.exists():
        # MLflow makes the folders that are missing.
        nearest = nearest.parent
    head = b""
    try:
        # SQLite writes a journal beside the file. Permission bits say nothing to root, so it is tried.
        Path(tempfile.mkdtemp(prefix=".writable-", dir=nearest)).rmdir()
        if path.exists():
            with path.open("r+b") as file:
                head = file.read(len(_SQLITE))
    except OSError as error:
        raise TrackingUnreachable(
            f"tracking.uri={uri} cannot be written to ({error.strerror}); name another file, or set "
            "tracking.enabled=false"
        ) from None
    if head not in (b"", _SQLITE):
        raise TrackingUnreachable(f"tracking.uri={uri} is no SQLite file; name another or a new one")


def _check_access(uri: str) -> None:
    quieten()
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    shown = without_password(uri)
    try:
        MlflowClient(tracking_uri=uri).search_experiments(max_results=1)
    except ImportError as error:
        raise TrackingUnreachable(
            f"tracking.uri={shown} needs a driver that is missing: {one_line(error)}"
        ) from None
    except MlflowException as error:
        if status_of(error) not in (401, 403):
            raise TrackingUnreachable(
                f"tracking.uri={shown} is no MLflow store that works: {one_line(error)}"
            ) from error
        raise TrackingUnreachable(
            f"tracking.uri={shown} refuses the user: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or"
            " MLFLOW_TRACKING_TOKEN, in the environment"
        ) from error


def quieten() -> None:
    """Set MLflow's environment so that it reports to nobody and leaves retries to us."""
    # No figure of a user's sweep goes to anyone but the store that was named.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    # The driver says where to look, once.
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    # Retries are ours: MLflow's own block a call for minutes with nothing said.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    # A server that takes a request and never answers is found to be away in time to say so.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")


def status_of(error: Any) -> int:
    """The HTTP status of an ``MlflowException``, also where no HTTP was involved."""
    return int(error.get_http_status_code())


def one_line(error: BaseException) -> str:
    """The first line of an error, without passwords of addresses in it."""
    text = str(error).strip()
    return without_password(text.splitlines()[0][:300]) if text else type(error).__name__
