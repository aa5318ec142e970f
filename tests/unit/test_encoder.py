"""Step 5: texts to vectors. Each once, in order, and nothing typed is syntax."""

import threading
from pathlib import Path

import numpy as np
import pytest

from model.bundle import Bundle, BundleError
from model.encoder import Encoder, batches
from model.tokenizer import open_tokenizer, token_ids
from model.training.zeroshot import Reading, init
from tests.shop import DIM, WORDS, encoder_folder, make_bundle

TEXTS = ["red boots", "jam", "the quick blue guitar and the white spade", "?", "Red BOOTS", "honey " * 80]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("bundle"))


def test_vectors_are_of_unit_length_and_in_order(bundle: Bundle) -> None:
    encoder = Encoder(bundle)
    vectors = encoder.vectors(TEXTS)
    assert vectors.shape == (len(TEXTS), DIM)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)
    for text, vector in zip(TEXTS, vectors, strict=True):
        np.testing.assert_array_equal(Encoder(bundle).vectors([text])[0], vector)
    assert encoder.vectors([]).shape == (0, DIM)


def test_a_text_is_encoded_once(bundle: Bundle) -> None:
    encoder = Encoder(bundle)
    encoder.vectors(["jam", "jam", "boots"])
    encoder.vectors(["boots", "jam"])
    assert encoder.texts_encoded == 2


def test_the_cache_is_bounded_and_forgets_the_longest_unused(bundle: Bundle) -> None:
    encoder = Encoder(bundle, cached=2)
    encoder.vectors(["jam", "boots"])
    encoder.vectors(["jam"])
    encoder.vectors(["drum"])
    assert encoder.texts_encoded == 3
    encoder.vectors(["jam"])
    assert encoder.texts_encoded == 3
    encoder.vectors(["boots"])
    assert encoder.texts_encoded == 4


def test_more_texts_than_the_cache_holds_are_answered_all_the_same(bundle: Bundle) -> None:
    np.testing.assert_array_equal(Encoder(bundle, cached=1).vectors(TEXTS), Encoder(bundle).vectors(TEXTS))


def test_an_empty_text_has_no_vector(bundle: Bundle) -> None:
    with pytest.raises(ValueError, match="empty"):
        Encoder(bundle).vectors(["jam", ""])


def test_what_was_typed_is_never_syntax(bundle: Bundle) -> None:
    tokenizer = open_tokenizer(bundle.path / "tokenizer.json", 64)
    typed, first, last = token_ids(tokenizer, ["[SEP]"])[0][1:-1], WORDS.index("[CLS]"), WORDS.index("[SEP]")
    assert [WORDS[number] for number in typed] == ["[", "sep", "]"]
    assert token_ids(tokenizer, ["jam"])[0] == [first, WORDS.index("jam"), last]


def test_a_text_is_cut_at_the_bundles_tokens(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path, reading=Reading(max_tokens=8))
    tokenizer = open_tokenizer(bundle.path / "tokenizer.json", 8)
    assert len(token_ids(tokenizer, ["jam " * 100])[0]) == 8
    vectors = Encoder(bundle).vectors(["jam " * 6 + "boots", "jam " * 6 + "drum"])
    np.testing.assert_array_equal(vectors[0], vectors[1])


def test_only_inputs_that_the_graph_has_are_fed(tmp_path: Path) -> None:
    folders = {
        number: encoder_folder(tmp_path / str(number), inputs)
        for number, inputs in enumerate(
            [("input_ids",), ("input_ids", "attention_mask"), ("input_ids", "attention_mask", "token_type_ids")]
        )
    }
    vectors = [Encoder(init(str(folder), tmp_path / f"b{n}")).vectors(TEXTS) for n, folder in folders.items()]
    np.testing.assert_array_equal(vectors[0], vectors[1])
    np.testing.assert_array_equal(vectors[0], vectors[2])


def test_cls_pooling_takes_the_first_token(tmp_path: Path) -> None:
    encoder = Encoder(make_bundle(tmp_path, pooling="cls"))
    np.testing.assert_array_equal(encoder.vectors(["jam"]), encoder.vectors(["boots"]))


def test_a_graph_without_the_manifests_output_is_refused(bundle: Bundle) -> None:
    other = Bundle(bundle.path, bundle.manifest.model_copy(update={"output": "pooler_output"}))
    with pytest.raises(BundleError, match="pooler_output"):
        Encoder(other)


def test_two_threads_share_one_encoder(bundle: Bundle) -> None:
    texts = [f"{word} {number}" for word in ("jam", "boots", "drum") for number in range(200)]
    expected = Encoder(bundle).vectors(texts)
    encoder = Encoder(bundle, cached=50)
    found: dict[int, bool] = {}

    def work(number: int) -> None:
        found[number] = all(
            np.array_equal(encoder.vectors(texts[start : start + 30]), expected[start : start + 30])
            for start in range(number, len(texts) - 30, 7)
        )

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {0: True, 1: True}


def test_batches_are_bounded_by_padded_tokens_and_rows_and_hold_every_row_once() -> None:
    lengths = [5, 60, 7, 60, 3, 64, 9, 1, 200]
    made = list(batches(lengths, padded_tokens=128, rows=3))
    assert sorted(row for batch in made for row in batch) == list(range(len(lengths)))
    for batch in made:
        assert len(batch) <= 3
        assert len(batch) == 1 or len(batch) * max(lengths[row] for row in batch) <= 128
