"""One sentence-embedding model for the app and the engine, so that a vector means the same in both."""

import os

# From 1.29 on, onnxruntime reports its use to its maker and keeps a device id in the home folder, unless this
# is set before it is first imported. Nothing about a message may leave the clinic, not even its arrival.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

from .encoder import DIMENSIONS, ModelFileError, SentenceEncoder, continued, from_base64, to_base64

__all__ = ["DIMENSIONS", "ModelFileError", "SentenceEncoder", "continued", "from_base64", "to_base64"]
