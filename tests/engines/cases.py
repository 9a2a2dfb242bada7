"""An engine before a fake server, ready to be loaded."""

from tests.engines.fake_server import FakeServer
from wattshed.domain.system import System
from wattshed.engines.openai import OpenAIEngine

SYSTEM = System("loopback", "parrot", "none", engine="fake")
KEY = "sk-very-secret"


def openai_engine(server: FakeServer, *, timeout_s: float = 20.0) -> OpenAIEngine:
    """An engine for a server; the time-out is long enough for a busy machine."""
    return OpenAIEngine(server.url, SYSTEM.model, system=SYSTEM, api_key=KEY, timeout_s=timeout_s)
