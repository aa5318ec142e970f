"""The offline half: from logs and encoders to bundles. The only place that may import torch or transformers."""
