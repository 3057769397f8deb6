"""HTTP server with dynamic batching.

Needs the extra `serve` (FastAPI and uvicorn), which no other package imports.
"""

from __future__ import annotations

from nlpmtl.serving.limits import Limits
from nlpmtl.serving.routes import create_app
from nlpmtl.serving.server import serve

__all__ = ["Limits", "create_app", "serve"]
