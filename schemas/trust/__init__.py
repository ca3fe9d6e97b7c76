"""Who may say what: signed envelopes, what a record asks leave for, and the policy that gives it. Pure."""

__all__ = ["envelope", "policy", "subjects", "verdict"]
