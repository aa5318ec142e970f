"""A map that spreads a shop's texts: what it does to vectors, in a graph, in other precisions, and in bundles."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import orjson
import pytest
from onnx import TensorProto, helper

from model.bundle import ENCODER, Bundle, BundleError
from model.encoder import Encoder
from model.session import Floats
from model.training import quantise
from model.training.encoders import Found, find
from model.training.grafting import TOWERS, WHITENING, graft, take
from model.training.logs.columns import read_items
from model.training.logs.files import LogError
from model.training.quantise import Parity, convert, parity, vectors
from model.training.whitening import MATRIX, bare, followed_by, matrix_of, whitening
from model.training.zeroshot import FEWEST, MOST, init, whitened, whitened_bundle
from stream.cli import invoke
from stream.errors import Exit
from tests.shop import COLOURS, DIM, THEMES, encoder_folder

TITLES = [f"{colour} {word}" for words in THEMES.values() for word in words for colour in COLOURS]


def unit(rows: Floats) -> Floats:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def cone(texts: int, dim: int = 8, seed: int = 0) -> Floats:
    """Unit vectors near one direction, far more apart in some of the others than in the rest."""
    dice = np.random.default_rng(seed)
    return unit((dice.normal(size=(texts, dim)) * np.geomspace(1, 0.1, dim) + 3.0).astype(np.float32))


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    return find(str(encoder_folder(tmp_path_factory.mktemp("encoder"))))


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    path = tmp_path / "items.jsonl"
    path.write_bytes(b"\n".join(orjson.dumps({"item_id": title, "title": f"The {title}"}) for title in TITLES))
    return path


def test_what_all_texts_share_weighs_little_and_their_differences_alike() -> None:
    before = cone(4_000)
    after = unit(before @ whitening(before))
    assert (before @ before.T).mean() > 0.9
    assert abs((after @ after.T).mean()) < 0.25
    spreads = [np.linalg.eigvalsh(np.cov(rows.T))[1:] for rows in (before, after)]  # One is lost to unit length.
    assert [float(spread[-1] / spread[0]) > 10 for spread in spreads] == [True, False]


def test_it_is_the_same_for_texts_of_any_length_of_vector() -> None:
    rows = cone(200)
    matrix = whitening(rows)
    longer = rows * np.linspace(0.5, 8, len(rows), dtype=np.float32)[:, None]
    np.testing.assert_allclose(unit(longer @ matrix), unit(rows @ matrix), atol=1e-5)
    assert np.array_equal(matrix, matrix.T), "to the last bit: towers are kept with half of it"


def test_a_map_keeps_its_bytes_through_taking_and_grafting(
    shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """-0 is 0 to arithmetic, and another graph: the space is a sum of bytes."""
    rows = np.eye(8, dtype=np.float32)[np.arange(64) % 8] * np.linspace(1, 2, 64, dtype=np.float32)[:, None]
    found = whitening(rows)
    assert (found == 0).any()
    assert not np.signbit(found[found == 0]).any()
    signed = np.where(np.eye(DIM) > 0, 1, -0.0).astype(np.float32)
    monkeypatch.setattr("model.training.zeroshot.whitening", lambda _: signed)  # As earlier versions made them.
    made = init(str(encoder_folder(tmp_path / "encoder")), tmp_path / "made", items=[shelf])
    take(made, tmp_path / "towers")
    assert graft(made, tmp_path / "towers", tmp_path / "again").space == made.space


def test_directions_that_few_texts_do_not_show_are_left_finite() -> None:
    lengths = np.linalg.eigvalsh(whitening(cone(5, dim=32)))
    assert np.isfinite(lengths).all()
    assert lengths.max() < 1.1, "not as long as none at all would make them"


def test_the_graph_ends_with_it(found: Found) -> None:
    made = whitened(found, TITLES)
    matrix = matrix_of(made.graph)
    assert matrix is not None
    assert np.array_equal(matrix * 1024, np.round(matrix * 1024)), "in steps: other cores' last bits are others"
    np.testing.assert_allclose(vectors(made, TITLES), unit(vectors(found, TITLES) @ matrix), atol=1e-6)
    np.testing.assert_array_equal(matrix, whitening(vectors(found, TITLES)))
    assert (made.dim, made.pooling, made.tokenizer) == (found.dim, found.pooling, found.tokenizer)


def test_few_texts_and_texts_that_are_one_teach_nothing(found: Found) -> None:
    assert whitened(found, TITLES[: FEWEST - 1]) is found
    assert whitened(found, ["red boots"] * 1_000) is found
    assert whitened(found, TITLES[:FEWEST]) is not found


def test_texts_without_a_difference_leave_the_encoder_as_it_is(found: Found) -> None:
    """A tongue of which the tokenizer knows no word."""
    strange = [f"\u1780\u179a{number}" for number in range(FEWEST + 10)]
    assert whitened(found, strange) is found
    for rows in (np.zeros((99, 8)), np.full((99, 8), np.nan), np.ones((99, 1))):
        with pytest.raises(ValueError, match="do not differ"):
            whitening(rows.astype(np.float32))


def test_of_many_texts_some_are_read_and_the_same_ones_again(found: Found) -> None:
    texts = [f"{title} {number}" for number in range(MOST // 50) for title in TITLES]
    assert len(texts) > 2 * MOST
    assert whitened(found, texts) == whitened(found, texts)


def test_another_map_takes_its_place(found: Found) -> None:
    made = whitened(found, TITLES)
    assert whitened(made, TITLES[:FEWEST]) == whitened(found, TITLES[:FEWEST])
    assert bare(made) == found
    other = whitening(vectors(found, TITLES[:FEWEST]))
    again = followed_by(made, other)
    assert again == followed_by(found, other)
    assert [each.name for each in onnx.load_from_string(again.graph).graph.initializer].count(MATRIX) == 1


def test_hidden_states_in_half_precision_become_whole(found: Found) -> None:
    model = onnx.load_from_string(found.graph)
    model.graph.node.append(helper.make_node("Cast", ["last_hidden_state"], ["half"], to=TensorProto.FLOAT16))
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("half", TensorProto.FLOAT16, ["T", "L", DIM]))
    half = replace(found, graph=model.SerializeToString(), output="half")
    made = whitened(half, TITLES)
    np.testing.assert_allclose(vectors(made, TITLES), vectors(whitened(found, TITLES), TITLES), atol=5e-3)
    assert followed_by(made, np.eye(DIM, dtype=np.float32)) == followed_by(half, np.eye(DIM, dtype=np.float32))


def test_eight_bits_leave_it_in_full_and_texts_with_the_same_bits_in_company(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.bert import bert_folder

    monkeypatch.setitem(quantise.LIMITS, "int8", Parity(0.9, 0.95, 0.5))  # Its weights are random.
    whole = whitened(find(str(bert_folder(tmp_path))), TITLES)
    small, reached = convert(whole, "int8", TITLES)
    assert reached == parity(vectors(whole, TITLES), vectors(small, TITLES)), "of the vectors that are served"
    assert small.output == whole.output
    np.testing.assert_array_equal(matrix_of(small.graph), matrix_of(whole.graph))
    together = vectors(small, TITLES)
    for title, vector in zip(TITLES[::10], together[::10], strict=True):
        np.testing.assert_array_equal(vectors(small, [title])[0], vector)


def test_a_graph_that_pools_too_is_found_again_by_its_map(found: Found, tmp_path: Path) -> None:
    model = onnx.load_from_string(found.graph)
    pooled = helper.make_node("ReduceMean", ["last_hidden_state"], ["sentence_embedding"], axes=[1], keepdims=0)
    model.graph.node.append(pooled)
    model.graph.output.append(helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, ["T", DIM]))
    both = replace(found, graph=model.SerializeToString(deterministic=True))
    made = whitened(both, TITLES)
    (tmp_path / "model.onnx").write_bytes(made.graph)
    (tmp_path / "tokenizer.json").write_bytes(made.tokenizer)
    again = find(str(tmp_path))
    assert (again.graph, again.output, again.pooling) == (made.graph, made.output, made.pooling)
    assert bare(again) == both


def test_a_shop_that_opens_has_products_and_no_log(shelf: Path, tmp_path: Path, found: Found) -> None:
    encoder = str(encoder_folder(tmp_path / "encoder"))
    out = tmp_path / "out"
    assert invoke(["model", "init", "--encoder", encoder, "--items", str(shelf), "--out", str(out)]) == Exit.DONE
    made = Bundle.load(out)
    assert matrix_of((out / ENCODER).read_bytes()) is not None
    plain = init(encoder, tmp_path / "plain")
    assert made.space != plain.space, "the catalogue is encoded anew"
    texts = [f"The {title}" for title in TITLES]
    reached = [Encoder(bundle).vectors(texts) for bundle in (plain, made)]
    assert (reached[0] @ reached[0].T).mean() > (reached[1] @ reached[1].T).mean() + 0.1
    # By the same products a training begins where this stands: nothing is encoded anew after it.
    assert whitened_bundle(made, texts, tmp_path / "again") is made
    assert whitened_bundle(plain, texts, tmp_path / "white").space == made.space
    assert whitened_bundle(plain, texts[:10], tmp_path / "none") is plain


def test_who_keeps_the_texts_vectors_says_so(shelf: Path, tmp_path: Path) -> None:
    encoder, out = str(encoder_folder(tmp_path / "encoder")), str(tmp_path / "out")
    told = ["model", "init", "--encoder", encoder, "--items", str(shelf), "--out", out, "--no-whiten"]
    assert invoke(told) == Exit.DONE
    assert Bundle.load(Path(out)).space == init(encoder, tmp_path / "plain").space


def test_a_log_brings_its_own_products(tmp_path: Path) -> None:
    items = [{"item_id": title, "title": title if title[0] != "b" else ""} for title in TITLES]
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "items.jsonl").write_bytes(b"\n".join(map(orjson.dumps, items)))
    event = {"user_id": "u", "item_id": TITLES[0], "type": "view", "timestamp": 1_700_000_000}
    (tmp_path / "log" / "events.jsonl").write_bytes(orjson.dumps(event))
    encoder = str(encoder_folder(tmp_path / "encoder"))
    made = init(encoder, tmp_path / "out", log=tmp_path / "log", log_format="common")
    told = matrix_of((made.path / ENCODER).read_bytes())
    titles = [item["title"] for item in items if item["title"]]
    assert len(titles) >= FEWEST
    assert told is not None
    np.testing.assert_array_equal(told, whitening(vectors(find(encoder), titles)))


def test_files_that_tell_of_known_products_or_nothing_are_read(shelf: Path, tmp_path: Path) -> None:
    (tmp_path / "later.jsonl").write_bytes(orjson.dumps({"item_id": TITLES[0], "title": "Another name"}))
    (tmp_path / "empty.jsonl").touch()
    items = read_items([shelf, tmp_path / "later.jsonl", tmp_path / "empty.jsonl"])
    assert (len(items), items.item(0).title) == (len(TITLES), "Another name")


def test_a_file_without_products_is_refused(tmp_path: Path) -> None:
    (tmp_path / "none.jsonl").write_text("{}\n[]\n")
    with pytest.raises(LogError, match=r"none\.jsonl holds no item of the form firstclick"):
        init(str(encoder_folder(tmp_path / "encoder")), tmp_path / "out", items=[tmp_path / "none.jsonl"])


def test_towers_bring_their_map_to_a_bare_encoder(shelf: Path, tmp_path: Path) -> None:
    encoder = str(encoder_folder(tmp_path / "encoder"))
    plain, made = init(encoder, tmp_path / "plain"), init(encoder, tmp_path / "made", items=[shelf])
    take(made, tmp_path / "towers")
    for base in (plain, made):
        again = graft(base, tmp_path / "towers", tmp_path / f"on-{base.path.name}")
        assert again.manifest == made.manifest
    # Another map, or none, is another space.
    np.save(tmp_path / "towers" / WHITENING, np.load(tmp_path / "towers" / WHITENING) * np.float32(1.5))
    with pytest.raises(BundleError, match=r"space .*train them anew"):
        graft(plain, tmp_path / "towers", tmp_path / "wrong")
    np.save(tmp_path / "towers" / WHITENING, np.zeros(3, np.float32))
    with pytest.raises(BundleError, match="another length"):
        graft(plain, tmp_path / "towers", tmp_path / "wrong")
    assert not (tmp_path / "wrong").exists()
    take(plain, tmp_path / "towers")
    assert graft(made, tmp_path / "towers", tmp_path / "off").manifest == plain.manifest, "towers of the bare encoder"
    assert not (tmp_path / "towers" / WHITENING).exists()
    assert orjson.loads((tmp_path / "towers" / TOWERS).read_bytes())["space"] == plain.space
