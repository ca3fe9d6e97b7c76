"""Reading the history that trackers record on Kafka and archive in the origin store, and comparing versions."""

from modelcast.infra.history.compared import compare_versions
from modelcast.infra.history.questions import ModelHistory, PairAt
from modelcast.infra.history.reader import HistoryReader
from modelcast.infra.history.recent import KafkaRecent, RecentChanges, RecentSource

__all__ = [
    "HistoryReader",
    "KafkaRecent",
    "ModelHistory",
    "PairAt",
    "RecentChanges",
    "RecentSource",
    "compare_versions",
]
