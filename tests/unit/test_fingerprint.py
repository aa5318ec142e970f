"""The fingerprint changes with whatever changes what the model is told."""

from pathlib import Path

import pytest
from tokenizers import Tokenizer

from model import fingerprint as module
from model.event import Kind
from model.fingerprint import EVENTS, fingerprint
from model.tokenizer import open_tokenizer
from tests.shop import encoder_folder


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return open_tokenizer(encoder_folder(tmp_path_factory.mktemp("encoder")) / "tokenizer.json", 64)


def test_it_is_the_same_each_time(tokenizer: Tokenizer) -> None:
    assert fingerprint(tokenizer, 32, 10**9) == fingerprint(tokenizer, 32, 10**9)


def test_it_probes_every_kind() -> None:
    assert {str(probe["kind"]) for probe in EVENTS} == {kind.value for kind in Kind}


def test_other_tokens_are_another_fingerprint(tokenizer: Tokenizer, tmp_path: Path) -> None:
    path = encoder_folder(tmp_path) / "tokenizer.json"
    told = path.read_text()
    assert '"jam"' in told
    for other in (open_tokenizer(path, 8), Tokenizer.from_str(told.replace('"type": "Lowercase"', '"type": "NFC"'))):
        assert fingerprint(other, 32, 10**9) != fingerprint(tokenizer, 32, 10**9)


def test_other_words_for_an_event_are_another_fingerprint(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = fingerprint(tokenizer, 32, 10**9)
    render = module.render
    monkeypatch.setattr(module, "render", lambda event: render(event)._replace(text=event.text[:10]))
    assert fingerprint(tokenizer, 32, 10**9) != before


def test_another_text_of_an_item_is_another_fingerprint(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    before = fingerprint(tokenizer, 32, 10**9)
    monkeypatch.setattr(module, "item_text", lambda item: item.title)
    assert fingerprint(tokenizer, 32, 10**9) != before
