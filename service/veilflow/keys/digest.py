"""A keyed digest of rows."""

from __future__ import annotations

import hashlib
import hmac

import pyarrow as pa


def digest(key: bytes, rows: pa.RecordBatch | pa.Table) -> str:
    """HMAC-SHA-256 (hex) over the rows as one Arrow IPC stream of one batch: the same for the same rows and schema,
    however they were chunked or sliced. Keyed, because a plain digest of few rows could be guessed."""
    table = pa.Table.from_batches([rows]) if isinstance(rows, pa.RecordBatch) else rows
    mac = hmac.new(key, digestmod=hashlib.sha256)
    mac.update(table.schema.serialize())
    for column in table.columns:
        # take() copies into fresh buffers that start at 0 and have zeroed padding and null slots alike.
        whole = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
        _update(mac, whole)
    return mac.hexdigest()


def _update(mac: hmac.HMAC, values: pa.Array) -> None:
    fresh = pa.concat_arrays([pa.array([], values.type), values]) if values.offset else values
    mac.update(len(fresh).to_bytes(8, "little") + fresh.null_count.to_bytes(8, "little"))
    batch = pa.record_batch([fresh], names=["v"])
    sink = _MacSink(mac)
    with pa.ipc.new_stream(pa.PythonFile(sink, mode="w"), batch.schema) as writer:
        writer.write_batch(batch)


class _MacSink:
    """A file that only hashes what is written to it."""

    closed = False

    def __init__(self, mac: hmac.HMAC) -> None:
        self._mac = mac

    def write(self, data: bytes) -> int:
        self._mac.update(data)
        return len(data)

    def flush(self) -> None:
        """Nothing is buffered."""

    def close(self) -> None:
        """Nothing is open."""
