"""Accelerators are loaded where they are installed, and missed without an error where they are not."""

from importlib.metadata import EntryPoint, EntryPoints

import pytest

from modelcast.infra import accelerators


def declare(monkeypatch: pytest.MonkeyPatch, *values: str) -> None:
    declared = EntryPoints(EntryPoint("fetch", value, accelerators.GROUP) for value in values)
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **selection: declared.select(**selection))
    monkeypatch.setattr(accelerators, "_absent", set())


def test_what_an_entry_point_names_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    declare(monkeypatch, "modelcast.schemas.digests:sha256_of")

    from modelcast.schemas.digests import sha256_of

    assert accelerators.load_accelerator("fetch") is sha256_of


def test_nothing_is_loaded_where_nothing_is_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    declare(monkeypatch)

    assert accelerators.load_accelerator("fetch") is None


@pytest.mark.parametrize("value", ["modelcast.no_such_package.fetch:plug", "pcodec_is.not_here:plug"])
def test_a_package_that_was_removed_is_reported_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, value: str
) -> None:
    declare(monkeypatch, value)
    monkeypatch.setattr(accelerators, "EXTRA_MODULES", {"pcodec_is"})

    with caplog.at_level("INFO"):
        assert [accelerators.load_accelerator("fetch"), accelerators.load_accelerator("fetch")] == [None, None]

    assert [(each.levelname, "'fetch'" in each.message) for each in caplog.records] == [("INFO", True)]


def test_a_package_that_is_there_and_broken_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    declare(monkeypatch, "modelcast.schemas.no_such_module:plug")

    with pytest.raises(ImportError, match="no_such_module"):
        accelerators.load_accelerator("fetch")
