"""The dashboard: one reader of `version-state` for everyone who watches."""
