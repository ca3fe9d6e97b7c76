"""The command line in this process, and a model of which a region holds versions."""

from tests.cli.conftest import cli, log, manifests, origin, own  # noqa: F401 - fixtures
