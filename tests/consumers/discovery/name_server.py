"""A DNS server on a free UDP port, which answers as a test tells it to."""

import asyncio
from typing import Self

import dns.flags
import dns.message
import dns.rcode
import dns.rrset


class NameServer(asyncio.DatagramProtocol):
    """Knows ``records`` by (name, type); other names are NXDOMAIN. ``silent``: it answers nothing.

    Attributes:
        port: where it listens, on 127.0.0.1.
        asked: how many questions came.
    """

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], tuple[int, tuple[str, ...]]] = {}
        self.failing = False
        self.silent = False
        self.asked = 0
        self.port = 0

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, ("127.0.0.1", 0))
        self.port = self._transport.get_extra_info("sockname")[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._transport.close()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.asked += 1
        if self.silent:
            return
        query = dns.message.from_wire(data)
        question = query.question[0]
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        name, kind = question.name.to_text(omit_final_dot=True), question.rdtype.name
        if self.failing:
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif (found := self.records.get((name, kind))) is not None:
            ttl, values = found
            if values:
                answer.answer.append(dns.rrset.from_text(question.name, ttl, "IN", kind, *values))
        elif not any(known == name for known, _ in self.records):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        self._transport.sendto(answer.to_wire(), addr)
