"""What the API says of itself."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from annals import __version__


class Health(BaseModel):
    """That the service answers, and which version it is."""

    status: Literal["ok"] = "ok"
    version: str = __version__
