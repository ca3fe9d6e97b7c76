"""Commands from the page and from programs: who sends them, whether they may, what they would change."""

from modelcast.dashboard.actions.commands import CommandRequest, CommandWriter
from modelcast.dashboard.actions.effects import CommandEffect
from modelcast.dashboard.actions.identity import Identities, Requester, Unwelcome
from modelcast.dashboard.actions.replays import ReplayEffect, ReplayRequest, ReplayWriter

__all__ = [
    "CommandEffect",
    "CommandRequest",
    "CommandWriter",
    "Identities",
    "ReplayEffect",
    "ReplayRequest",
    "ReplayWriter",
    "Requester",
    "Unwelcome",
]
