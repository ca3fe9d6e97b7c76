"""A fleet's pods in DNS: the addresses of a name (a headless service), or its SRV records."""

import asyncio
from typing import Literal

import dns.asyncresolver
import dns.exception
import dns.nameserver
import dns.rdatatype
import dns.rdtypes.IN.SRV
import dns.resolver

from modelcast.consumers.discovery.decider.merging import unique_pods
from modelcast.consumers.discovery.port import DiscoveryFailed, PodAddress
from modelcast.infra.urls import host_and_path

LIFETIME_SECONDS = 5.0
TTL_SECONDS_MIN, TTL_SECONDS_MAX = 1.0, 300.0
NONE_SECONDS_MAX = 30.0
"""How long an answer without pods counts at most, whatever the zone says of absent records."""
KEEP_SECONDS = 300.0
"""How long an answer counts while the name can't be resolved: later its addresses may be of other pods."""

DnsRecord = Literal["A", "AAAA", "SRV"]


class DnsSource:
    """A ``PodSource``. Each answer counts for its TTL, between one second and five minutes.

    Args:
        name: whose records; without a dot at the end, the machine's search list applies.
        record: which kind. ``SRV`` names ports; the others need ``port``.
        port: of every pod.
        scheme: http or https.
        nameservers: (address, port) of resolvers to ask; none: those of the machine, read anew at each look.
    """

    def __init__(
        self,
        name: str,
        record: DnsRecord,
        port: int | None,
        scheme: str = "http",
        nameservers: tuple[tuple[str, int], ...] = (),
    ) -> None:
        self._name = name
        self._record: DnsRecord = record
        self._port = port
        self._scheme = scheme
        self._nameservers = nameservers
        self._ttl_seconds = TTL_SECONDS_MIN

    async def look(self) -> tuple[PodAddress, ...]:
        """See ``PodSource.look``."""
        subject = f"{self._record} {self._name}"
        try:
            answer = await self._resolver().resolve(
                self._name,
                self._record,
                lifetime=LIFETIME_SECONDS,
                raise_on_no_answer=False,
                search=not self._nameservers,
            )
        except dns.resolver.NXDOMAIN:
            raise DiscoveryFailed("DNS knows no such name", subject=subject) from None
        except (dns.exception.DNSException, OSError) as error:
            message = " ".join(str(error).split()) or type(error).__name__
            raise DiscoveryFailed(f"DNS does not answer: {message}", subject=subject) from None
        found = self._endpoints(answer)
        longest = TTL_SECONDS_MAX if found else NONE_SECONDS_MAX
        self._ttl_seconds = min(max(float(answer.chaining_result.minimum_ttl), TTL_SECONDS_MIN), longest)
        return found

    async def news(self) -> tuple[PodAddress, ...] | None:
        """See ``PodSource.news``."""
        await asyncio.sleep(self._ttl_seconds)
        return None

    async def aclose(self) -> None:
        """See ``PodSource.aclose``."""

    def _resolver(self) -> dns.asyncresolver.Resolver:
        resolver = dns.asyncresolver.Resolver(configure=not self._nameservers)
        if self._nameservers:
            resolver.nameservers = [dns.nameserver.Do53Nameserver(host, port) for host, port in self._nameservers]
        return resolver

    def _endpoints(self, answer: dns.resolver.Answer) -> tuple[PodAddress, ...]:
        found = []
        for record in answer.rrset or ():
            if isinstance(record, dns.rdtypes.IN.SRV.SRV):
                host = record.target.to_text(omit_final_dot=True)
                if host in {"", "."}:  # "decidedly not available at this domain" (RFC 2782)
                    continue
                found.append(self._endpoint(host, record.port))
            else:
                address = record.to_text()
                found.append(self._endpoint(f"[{address}]" if ":" in address else address, self._port))
        return unique_pods(found)

    def _endpoint(self, host: str, port: int | None) -> PodAddress:
        url = f"{self._scheme}://{host}" + (f":{port}" if port is not None else "")
        return PodAddress(host_and_path(url), url)
