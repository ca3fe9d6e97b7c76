"""Which version answers a request while a new one earns its traffic: the choice, the table of shares, the plan. Pure.

A plan is written into the registry log and the log's fold grants each region a ceiling (``grant``). Within the grants
the controller puts one table of shares (``table``), pods choose by it (``bucket``) and report what they counted
(``reports``), from which evidence is made (``differences``).
"""

__all__ = [
    "bucket",
    "differences",
    "grant",
    "json_fields",
    "outcomes",
    "readiness",
    "reports",
    "request_key",
    "steps_and_gates",
    "table",
    "written_plans",
]
