"""Language models on plain ONNX Runtime: many requests in flight over one set of shared buffers.

    decoder    the graph, its key-value buffers, one row per slot
    sampling   the next token from logits
    request    what a generation is
    queue      who gets the next slot
    rows       what a slot holds, and what of it another request may have
    slots      continuous batching: admit, prefill in chunks, decode, release
    runner     a thread that steps while there is work
    text       tokenizer, text that grows token by token, stop strings, chat template
    model      a folder's files, loaded

Left out: HTTP and JSON (`enclave.llm`), and sharding one model over devices (an engine behind
`enclave.engine_adapter` does that).
"""

from .errors import ContextError, QueueFullError, TemplateError
from .model import LanguageModel, load
from .request import Limits, Reason, Request, Sink, Ticket, Usage
from .sampling import Sampling
from .slots import SlotEngine

__all__ = [
    "ContextError",
    "LanguageModel",
    "Limits",
    "QueueFullError",
    "Reason",
    "Request",
    "Sampling",
    "Sink",
    "SlotEngine",
    "TemplateError",
    "Ticket",
    "Usage",
    "load",
]
