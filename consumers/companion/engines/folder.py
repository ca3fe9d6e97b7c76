"""Any other server: files in a folder, a link to the version to serve, and commands that tell and ask the server.

``command`` runs once the link has been moved and returns 0 when the server serves what it leads to. Other statuses are
those of sysexits.h: 65 (EX_DATAERR) means that the server refuses these files, 78 (EX_CONFIG) that it does not serve
such a model, 75 (EX_TEMPFAIL) that it does not answer; any other blames the server. What it says on stderr is told.
``check`` prints the version that the server's *memory* holds and, if it can, its manifest digest. Without a check
nothing confirms what is served, and the region says so. Both know MODELCAST_MODEL, MODELCAST_VERSION,
MODELCAST_DIGEST and MODELCAST_FOLDER.
"""

import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from modelcast.consumers.companion.blame import weighed
from modelcast.consumers.companion.delivery import Delivered, Delivery
from modelcast.consumers.companion.layouts.folder import CURRENT
from modelcast.consumers.companion.placing import VERSION_NUMBER, ModelRepository, as_placed
from modelcast.consumers.pod.engine import Capabilities, LossListener, Served
from modelcast.consumers.pod.environment import environment_code
from modelcast.consumers.pod.uninterrupted import uninterrupted
from modelcast.consumers.pod_clients.port import BLAMES_THE_VERSION, LoadFailed, LoadOrder, PodUnreachable
from modelcast.schemas.digests import DIGEST_PATTERN

EX_DATAERR, EX_TEMPFAIL, EX_CONFIG = 65, 75, 78
CHECK_SECONDS = 10.0
_CODES = {EX_DATAERR: BLAMES_THE_VERSION, EX_TEMPFAIL: "unreachable", EX_CONFIG: "unsupported"}
_DIGEST_FILE = ".digest-"


@dataclass(frozen=True, slots=True)
class Commands:
    """Each a program and its arguments; empty: there is none."""

    command: Sequence[str] = ()
    check: Sequence[str] = ()


class FolderEngine:
    """See ``Engine``.

    Args:
        commands: what tells and asks the server.
        delivery: brings the files.
        repository: the folder.
        load_seconds_max: how long ``command`` may take.
        gapless: see ``Capabilities``; only its user knows.
    """

    def __init__(
        self,
        commands: Commands,
        delivery: Delivery,
        repository: ModelRepository,
        load_seconds_max: float,
        *,
        gapless: bool = True,
    ) -> None:
        self.capabilities = Capabilities("folder", gapless=gapless, watch_seconds=2.0)
        self._commands = commands
        self._delivery = delivery
        self._repository = repository
        self._load_seconds_max = load_seconds_max
        self._prepared: dict[LoadOrder, Delivered] = {}

    async def start(self, listener: LossListener) -> None:
        """Nothing to begin."""

    async def prepare(self, order: LoadOrder) -> None:
        """See ``Engine.prepare``."""
        self._prepared[order] = await self._delivery.deliver(order)

    async def swap(self, order: LoadOrder) -> Served:
        """See ``Engine.swap``."""
        delivered = self._prepared.pop(order)
        began = time.monotonic()
        try:
            before = await uninterrupted(asyncio.ensure_future(self._swap(delivered)))
        except LoadFailed as failed:  # not what the server holds: without a check nothing but the link tells that
            raise await weighed(failed, delivered, self._delivery, self.serving, held=False) from None
        try:
            served = await self.serving(order.model)
        except PodUnreachable as error:
            raise await self._unconfirmed(order, before, error.message) from None
        if served is None or not served.holds(order):
            found = f"version {served.version}" if served else "none of ours"
            raise await self._unconfirmed(order, before, f"the command took the version, but the check names {found}")
        await asyncio.to_thread(self._repository.prune, order.model, {delivered.layout.folder, before})
        return Served(served.version, served.manifest_digest, served.proof, {}, {"swap": time.monotonic() - began})

    async def _unconfirmed(self, order: LoadOrder, before: str, message: str) -> LoadFailed:
        """The link leads back to what served: a server that starts must not find it on what nothing confirms."""
        try:
            await asyncio.to_thread(self._lead_to, order.model, before)
        except OSError as left:
            message = f"{message}; the link still leads to it: {left}"
        return LoadFailed(message, code="unconfirmed", subject=order.model)

    async def _swap(self, delivered: Delivered) -> str:
        """Move the link, tell the server; the folder that the link led to before."""
        order, folder = delivered.order, delivered.layout.folder
        before = await asyncio.to_thread(self._folder_of, order.model)
        try:
            digest = order.manifest_digest.encode()
            await asyncio.to_thread(self._repository.write, order.model, f"{_DIGEST_FILE}{folder}", digest)
            await asyncio.to_thread(self._repository.point, order.model, CURRENT, folder)
        except OSError as error:
            raise LoadFailed(str(error), code="io_error", subject=order.model) from None
        try:
            await self._run_load(order, folder)
            await asyncio.to_thread(self._repository.loaded, order.model, folder)
        except LoadFailed as error:  # a server that starts must not find the link on what was refused
            try:
                await asyncio.to_thread(self._lead_to, order.model, before)
            except OSError as left:
                raise LoadFailed(f"{error.message}; the link still leads to it: {left}", code=error.code) from None
            raise
        return before

    async def _run_load(self, order: LoadOrder, folder: str) -> None:
        if not self._commands.command:
            return
        env = self._environment(order.model, str(order.version), order.manifest_digest, folder)
        status, _, output = await _run(self._commands.command, env, self._load_seconds_max)
        if status is None:
            raise LoadFailed(f"the command took more than {self._load_seconds_max:g} s", code="load_timeout")
        if status != 0:
            code = _CODES.get(status, "server_failed")
            if code == BLAMES_THE_VERSION:
                code = environment_code(output) or code
            raise LoadFailed(f"the command ended with {status}: {output}", code=code)

    async def serving(self, model: str) -> Served | None:
        """See ``Engine.serving``: what the check prints; without one, where the link leads, which proves little."""
        try:
            folder = await asyncio.to_thread(self._folder_of, model)
            digest = await self._digest_of(model, folder)
        except OSError as error:
            raise PodUnreachable(str(error), subject=model) from None
        on_disk = (int(folder), digest) if digest else None
        if not self._commands.check:
            return Served(*on_disk, "disk") if on_disk else None
        env = self._environment(model, folder, on_disk[1] if on_disk else "", folder)
        status, printed, output = await _run(self._commands.check, env, CHECK_SECONDS)
        if status != 0:
            raise PodUnreachable(f"the check ended with {status}: {output}", subject=model)
        words = printed.split()
        if not words or not VERSION_NUMBER.fullmatch(words[0]):
            return None
        version = int(words[0])
        try:
            named = words[1] if len(words) > 1 else await self._digest_of(model, str(version))
        except OSError as error:
            raise PodUnreachable(str(error), subject=model) from None
        return Served(version, named, "memory") if named and await as_placed(self._repository, model, version) else None

    async def _digest_of(self, model: str, folder: str) -> str:
        """Which digest was placed in a version's folder; "": it is none of ours. Raises ``OSError``."""
        if not VERSION_NUMBER.fullmatch(folder):
            return ""
        noted = await asyncio.to_thread(self._repository.read, model, f"{_DIGEST_FILE}{folder}") or b""
        digest = noted.decode("ascii", "replace")
        return digest if DIGEST_PATTERN.fullmatch(digest) else ""

    async def retire(self, model: str) -> None:
        """See ``Engine.retire``: the link goes, and the command is told that there is no version."""
        try:
            await asyncio.to_thread(self._repository.write, model, CURRENT, None)
        except OSError as error:
            raise LoadFailed(str(error), code="io_error", subject=model) from None
        if self._commands.command:
            env = self._environment(model, "", "", "")
            status, _, output = await _run(self._commands.command, env, self._load_seconds_max)
            if status != 0:
                raise LoadFailed(f"the command ended with {status}: {output}", code="server_failed", subject=model)

    async def aclose(self) -> None:
        """Let another companion have the folder. The server goes on serving."""
        await asyncio.to_thread(self._repository.close)

    def _folder_of(self, model: str) -> str:
        link = self._repository.root / model / CURRENT
        return link.readlink().name if link.is_symlink() else ""

    def _lead_to(self, model: str, folder: str) -> None:
        if folder:
            self._repository.point(model, CURRENT, folder)
        else:
            self._repository.write(model, CURRENT, None)

    def _environment(self, model: str, version: str, digest: str, folder: str) -> dict[str, str]:
        path = self._repository.root / model / folder if folder else Path()
        # Without our own variables: secrets are among them.
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("MODELCAST_", "AWS_"))}
        return {
            **inherited,
            "MODELCAST_MODEL": model,
            "MODELCAST_VERSION": version,
            "MODELCAST_DIGEST": digest,
            "MODELCAST_FOLDER": str(path) if folder else "",
        }


async def _run(command: Sequence[str], env: dict[str, str], seconds: float) -> tuple[int | None, str, str]:
    """(exit status, stdout, the end of stderr); the status is None when it took too long and was killed."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command, env=env, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
    except OSError as error:
        return 127, "", f"{command[0]}: {error.strerror}"
    try:
        async with asyncio.timeout(seconds):
            out, errors = await process.communicate()
    except BaseException as error:
        process.kill()
        await process.wait()
        if isinstance(error, TimeoutError):
            return None, "", ""
        raise
    return process.returncode, out.decode(errors="replace")[:1000], errors.decode(errors="replace").strip()[-500:]
