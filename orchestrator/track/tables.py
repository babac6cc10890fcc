"""``results.parquet`` and ``steps.parquet``, written in parts so that a long sweep never sits in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from orchestrator.core.tables import Column

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow.fs import FileSystem

__all__ = ["TableWriter", "file_exists", "open_filesystem", "read_rows"]

ROWS_A_PART: Final = 2_000
"""Rows held in memory before they are written as one row group: a few MB with programs and replies."""


def open_filesystem(uri: str) -> tuple[FileSystem, str]:
    """The pyarrow filesystem and path behind a local path or a URI (s3://, gs://, file://, ...).

    Raises:
        ValueError: the URI names no filesystem that pyarrow knows.
    """
    from pathlib import Path

    import pyarrow as pa
    from pyarrow import fs

    try:
        if "://" not in uri:
            return fs.LocalFileSystem(), str(Path(uri).absolute())
        filesystem, path = fs.FileSystem.from_uri(uri)
    except (pa.ArrowException, OSError, NotImplementedError) as error:
        raise ValueError(f"{uri} is no place that results can be written to: {error}") from error
    return filesystem, str(path)


def file_exists(uri: str) -> bool:
    """Whether there is a file at a local path or URI.

    Raises:
        OSError, ValueError: the place cannot be looked at.
    """
    from pyarrow import fs

    filesystem, path = open_filesystem(uri)
    return bool(filesystem.get_file_info(path).type != fs.FileType.NotFound)


class TableWriter:
    """One Parquet file under a temporary name, which gets its own when it is complete."""

    def __init__(self, folder_uri: str, name: str, columns: Sequence[Column]) -> None:
        """``folder_uri`` is a local folder or any pyarrow filesystem URI; it is created when missing."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._filesystem, folder = open_filesystem(folder_uri)
        self._filesystem.create_dir(folder, recursive=True)
        self._address = f"{folder_uri.rstrip('/')}/{name}"
        self._path = f"{folder}/{name}"
        self._partial = f"{self._path}.partial"
        self._names = [column.name for column in columns]
        self._schema = pa.schema([pa.field(c.name, pa.type_for_alias(c.type)) for c in columns])
        self._writer = pq.ParquetWriter(
            self._partial, self._schema, filesystem=self._filesystem, compression="zstd"
        )
        self._rows: list[Mapping[str, Any]] = []
        self.count = 0

    def write(self, row: Mapping[str, Any]) -> None:
        """Add a row; columns it lacks are null.

        Raises:
            KeyError: it has a column that the table does not.
        """
        unknown = row.keys() - set(self._names)
        if unknown:
            raise KeyError(f"no such column(s): {', '.join(sorted(unknown))}")
        self._rows.append(row)
        self.count += 1
        if len(self._rows) >= ROWS_A_PART:
            self._flush()

    def close(self) -> str:
        """Finish the file and return its path or URI."""
        self._flush()
        self._writer.close()
        self._filesystem.move(self._partial, self._path)
        return self._address

    def _flush(self) -> None:
        import pyarrow as pa

        if self._rows:
            columns = {name: [_text(row.get(name)) for row in self._rows] for name in self._names}
            self._writer.write_table(pa.Table.from_pydict(columns, schema=self._schema))
            self._rows.clear()


def _text(value: Any) -> Any:
    """Arrow strings are UTF-8: a lone surrogate in a hostile reply becomes its escape."""
    return value.encode("utf-8", "backslashreplace").decode("utf-8") if isinstance(value, str) else value


def read_rows(path: str, columns: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """The rows of a Parquet file (path or URI) as dictionaries; only ``columns`` where given."""
    import pyarrow.parquet as pq

    filesystem, inner = open_filesystem(path)
    table: pa.Table = pq.read_table(inner, filesystem=filesystem, columns=list(columns) if columns else None)
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows
