"""A tokenizer.json as the line needs it: it knows capitals, and what was typed is never syntax.

Knows nothing of graphs. Both faults are common in tokenizers that are otherwise right; one without them stays as it is,
byte by byte.
"""

import json
import re
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from model.tokenizer import open_tokenizer

LATIN = re.compile("(?:##|▁|Ġ)?[A-Za-z]+")  # A whole word or the rest of one; `<S>` is neither.

UNKNOWN = ("<unk>", "[UNK]")  # What it says of any word that it does not know.


def mended(path: Path) -> bytes:
    """The tokenizer in `path`, with a normalizer for each fault that it has.

    Raises:
        Exception: bare, as tokenizers raises it: the file cannot be read as a tokenizer.
    """
    tokenizer, said = open_tokenizer(path, 64), path.read_bytes()
    told: dict[str, Any] = json.loads(said)
    steps: list[dict[str, Any]] = [
        {"type": "Replace", "pattern": {"String": word}, "content": f"{word[0]} {word[1:]}"}
        for word in _syntax(tokenizer)
    ]
    before = told.get("normalizer")
    if _knows_no_capitals(tokenizer):
        if before is not None and before["type"] == "BertNormalizer":
            before = before | {"lowercase": True}  # Accents go too, unless it says that they stay.
        else:
            steps.append({"type": "Lowercase"})
    if not steps and before == told.get("normalizer"):
        return said
    whole = [*steps, *([before] if before else [])]
    told["normalizer"] = whole[0] if len(whole) == 1 else {"type": "Sequence", "normalizers": whole}
    return json.dumps(told, ensure_ascii=False).encode()


def _syntax(tokenizer: Tokenizer) -> list[str]:
    """Control words that can be typed: SentencePiece has "</s>" among its pieces, and finds it in a review.

    The others are covered by `encode_special_tokens`. A blank inside the word ends this.
    """
    found = []
    for number, token in tokenizer.get_added_tokens_decoder().items():
        word = token.content
        if not token.special or word in UNKNOWN or len(word) < 2:
            continue
        if number in tokenizer.encode(word, add_special_tokens=False).ids:
            found.append(word)
    return found


def _knows_no_capitals(tokenizer: Tokenizer) -> bool:
    """Whether its words are all small and it does not make them so.

    Converters leave this to a flag in another file (`do_lower_case` in tokenizer_config.json), and whoever reads
    tokenizer.json alone, as the artifact of bge-small-zh is, has "USB" for an unknown word.
    """
    normalizer = tokenizer.normalizer
    if normalizer is not None and normalizer.normalize_str("A") == "a":
        return False
    marks = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    latin = [word for word in tokenizer.get_vocab() if word not in marks and LATIN.fullmatch(word)]
    return bool(latin) and all(word == word.lower() for word in latin)
