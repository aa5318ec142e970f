"""Under step 5: a text becomes token ids, as the bundle's tokenizer.json says.

Knows nothing of WordPiece, of English or of the encoder: whatever `tokenizers` can load serves. What a user typed is
never syntax: "[SEP]" in a review is five plain characters.
"""

from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer


def open_tokenizer(path: Path, max_tokens: int) -> Tokenizer:
    """The tokenizer in `path`, cutting at `max_tokens` (special tokens included) and padding nothing."""
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()  # The encoder pads: only it knows what shares a batch.
    tokenizer.enable_truncation(max_tokens)
    tokenizer.encode_special_tokens = True
    return tokenizer


def token_ids(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of each text, in order."""
    return [encoding.ids for encoding in tokenizer.encode_batch_fast(list(texts))]
