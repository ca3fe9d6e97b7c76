"""The registry log in the origin store: reading it, claiming its next entry, the schemas beside it, the audit."""

__all__ = [
    "audit_trail",
    "claim",
    "configured",
    "newcomers",
    "newer_records",
    "reader",
    "restore_id",
    "schema_lookup",
    "shared_listing",
]
