"""Whether bytes have the form of a record, without making the record: what is to be skipped is looked at, too."""

import json
from functools import cache
from io import BytesIO
from typing import Any

from fastavro import parse_schema, schemaless_reader

from modelcast.schemas.codec import HEADER_SIZE_BYTES, writer_schema
from modelcast.schemas.records import ModelAck


def ack_is_well_framed(data: bytes) -> bool:
    """Whether a ``ModelAck`` of today's schema begins after the header and ends with the data.

    fastavro skips over all fields but one: counts, lengths and unions are followed to the end, texts and values are not
    looked at. A record that was cut, or in which a length was damaged, fails; one with another digit does not.
    """
    stream = BytesIO(data + b"\0")  # what reads on past its end is found out, also within the last text
    stream.seek(HEADER_SIZE_BYTES)
    writer, reader = _schemas()
    try:
        schemaless_reader(stream, writer, reader)
    except Exception:  # fastavro raises whatever its Python was doing at the time
        return False
    return stream.tell() == len(data)


@cache
def _schemas() -> tuple[Any, Any]:
    node = json.loads(writer_schema(ModelAck)[1])
    kept = {**node, "fields": [field for field in node["fields"] if field["name"] == "sequence"]}
    return parse_schema(node), parse_schema(kept)
