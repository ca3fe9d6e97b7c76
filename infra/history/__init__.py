"""Reading the history that trackers archive in the origin store."""

from modelcast.infra.history.questions import ModelHistory, PairAt
from modelcast.infra.history.reader import HistoryReader

__all__ = ["HistoryReader", "ModelHistory", "PairAt"]
