"""What is vendored is what was looked at, and every part of the page is in the wheel's rooms."""

import hashlib
import re

from modelcast.dashboard.web.pages import KINDS, STATIC

VENDOR = STATIC / "vendor"


def test_vendored_files_are_as_they_were_recorded() -> None:
    lines = (VENDOR / "SHA256SUMS").read_text().splitlines()
    recorded = {name: digest for digest, name in (line.split() for line in lines)}
    found = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in VENDOR.iterdir() if p.name in recorded}
    assert found == recorded
    assert {p.name for p in VENDOR.iterdir()} == {*recorded, "SHA256SUMS", "README.md"}


def test_the_page_names_no_place_outside() -> None:
    for path in STATIC.rglob("*"):
        if path.suffix in KINDS and path.parent != VENDOR:
            found = set(re.findall(r"https?://[^\s\"'`)]+", path.read_text())) - {"http://www.w3.org/2000/svg"}
            assert found == set(), path.name
