"""Keys that sign: where they may lie, and what is said of one that can't be used."""

from pathlib import Path

import pytest

from modelcast.infra.trust.signing_keys import new_key, open_key, public_key, signing
from modelcast.schemas.errors import NotFound, Refused, UsageError


def test_a_key_in_a_file_signs_and_its_owner_alone_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "train.pem"
    made = new_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    signer = open_key(f"file:{path}", {})
    assert public_key(signer).keyid == made.keyid
    (signature,) = signing([signer, signer])(b"said")
    assert (signature.keyid, len(signature.sig)) == (made.keyid, 64)


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    new_key(path)
    before = path.read_bytes()
    with pytest.raises(Refused, match="never overwritten"):
        new_key(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_file_that_others_may_read_is_refused_with_what_mends_it(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key.pem"
    new_key(path)
    path.chmod(mode)
    with pytest.raises(Refused, match=rf"others may read it \(mode {mode:04o}\)") as caught:
        open_key(f"file:{path}", {})
    assert caught.value.hint.startswith(f"chmod 600 {path}")


def test_an_encrypted_key_asks_for_its_passphrase(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    made = new_key(path, "a long passphrase")
    assert b"ENCRYPTED" in path.read_bytes()
    assert public_key(open_key(f"file:{path}", {}, "a long passphrase")).keyid == made.keyid
    with pytest.raises(Refused, match="it is encrypted"):
        open_key(f"file:{path}", {})
    with pytest.raises(Refused, match="can't be opened"):
        open_key(f"file:{path}", {}, "another one")


def test_a_key_may_stand_in_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = new_key(tmp_path / "key.pem")
    monkeypatch.setenv("TRAIN_KEY", (tmp_path / "key.pem").read_text())
    assert public_key(open_key("env:TRAIN_KEY", {})).keyid == made.keyid


@pytest.mark.parametrize(
    ("uri", "error", "said"),
    [
        ("file:/nowhere/key.pem", NotFound, "no such key file"),
        ("env:NOT_SET_ANYWHERE", NotFound, "no such variable"),
        ("awskms:alias/train", UsageError, "names no key of the policy"),
        ("nonsense", UsageError, "names no key of the policy"),
    ],
)
def test_what_is_no_key_is_named(uri: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        open_key(uri, {})


def test_a_text_that_is_no_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_text("hello")
    path.chmod(0o600)
    with pytest.raises(Refused, match="can't be opened"):
        open_key(f"file:{path}", {})
