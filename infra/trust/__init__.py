"""Keys that sign, and the policy that says whose signatures count: TUF's files, read and written with python-tuf.

The libraries take a while to import, so nothing here is imported where trust is not used.
"""

__all__ = ["configured", "policy_changes", "policy_files", "signing_keys"]
