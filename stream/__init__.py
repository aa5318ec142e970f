"""Kafka in, Kafka out: the stream half of the line. No arithmetic.

 0 take in      intake.py        Kafka -> batches, each of one partition, with its assignment epoch
 1 parse        model/event.py   bytes -> Event, or a rejection with its reason
 2 render       model/text.py    Event -> Line
 3 remember     windows.py       Window + Line -> Window
 4 gather       batcher.py       users whose window changed -> one micro-batch, each user once
 5 encode       model/encoder.py texts not seen before -> (T, D) unit vectors
 6 understand   model/interest.py (B, N, D) -> (B, D) interest vectors
 7 retrieve     model/catalogue.py (B, D) -> (B, K) candidate items
 8 score        model/scorer.py  -> (B, K)
 9 write        messages.py      -> bytes
10 commit       outbox.py        window records, outputs and consumed offsets -> one Kafka transaction
"""

import os

# The model shares out its users over the worker's threads by itself; numpy's own threads on top only get in its way
# (12,000 items on two cores: one user 9.3 ms of CPU with them, 4.2 without). Numpy reads it when first imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
