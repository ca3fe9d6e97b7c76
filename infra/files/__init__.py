"""Files of this machine: written aside and renamed, locked, read ahead."""

from modelcast.infra.files.copies import copy, share_blocks
from modelcast.infra.files.files import hidden_name, sha256_of_file, written_aside
from modelcast.infra.files.locks import NoLocks, acquire, held, held_if_free
from modelcast.infra.files.read_ahead import wanted_soon
from modelcast.infra.files.swapping import exchange
from modelcast.infra.files.syncing import folders_of, sync, sync_all
from modelcast.infra.files.user_cache import user_bases, user_cache

__all__ = [
    "NoLocks",
    "acquire",
    "copy",
    "exchange",
    "folders_of",
    "held",
    "held_if_free",
    "hidden_name",
    "sha256_of_file",
    "share_blocks",
    "sync",
    "sync_all",
    "user_bases",
    "user_cache",
    "wanted_soon",
    "written_aside",
]
