"""Reading the history that trackers archive in the origin store, and comparing versions that lie there."""

from modelcast.infra.history.compared import compare_versions
from modelcast.infra.history.questions import ModelHistory, PairAt
from modelcast.infra.history.reader import HistoryReader

__all__ = ["HistoryReader", "ModelHistory", "PairAt", "compare_versions"]
