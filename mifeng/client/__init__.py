"""The SDK: an institution's side of the data path."""

from .aio import AnswerStream, AsyncClient
from .answer import Answer
from .config import ClientConfig
from .sync import Client

__all__ = ["Answer", "AnswerStream", "AsyncClient", "Client", "ClientConfig"]
