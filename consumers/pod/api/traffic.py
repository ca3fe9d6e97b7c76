"""The division of a model's requests over HTTP: the table is posted, and read back with what was counted."""

from aiohttp import web

from modelcast.consumers.pod.traffic.division import Division
from modelcast.consumers.pod.worker.tensors import BadRequest
from modelcast.consumers.pod_clients.traffic import encode_pod_traffic
from modelcast.schemas.errors import DecodeError
from modelcast.schemas.traffic.table import decode_table


async def apply_table(division: Division, model: str, body: bytes) -> web.Response:
    """Have the posted table in force; the answer is what ``read_traffic`` gives.

    Raises:
        BadRequest: it is none, or of another model.
        PodRefused, LoadFailed: see ``Division.apply``.
    """
    try:
        table = decode_table(body)
    except DecodeError as error:
        raise BadRequest(error.message) from None
    if table.model != model:
        raise BadRequest(f"a table of model {table.model!r}, posted for {model[:80]!r}")
    await division.apply(table)
    return read_traffic(division, model)


def read_traffic(division: Division, model: str) -> web.Response:
    """By which table the model's requests are divided, and what was counted of each version."""
    return web.Response(body=encode_pod_traffic(division.read(model)), content_type="application/json")
