#!/bin/sh
# Re-lock every dependency with hashes. Needs uv; run from the repository root. Pass --upgrade to move to newer releases.
set -eu
lock() { uv pip compile -q --universal --generate-hashes --python-version 3.11 --no-emit-index-url --no-header --no-annotate "$@"; }
lock --all-extras --group dev pyproject.toml -o requirements/dev.txt "$@"
lock --all-extras -c requirements/dev.txt pyproject.toml -o requirements/all.txt "$@"
lock -c requirements/dev.txt pyproject.toml -o requirements/base.txt "$@"
lock --group browser -c requirements/dev.txt -o requirements/browser.txt "$@"
printf 'hatchling>=1.27\neditables>=0.5\n' | lock -c requirements/dev.txt - -o requirements/build.txt "$@"
