"""The companion of a foreign server: towards its region a pod of ours, towards the server it places files and swaps."""

__all__ = ["kinds", "server_kinds"]
