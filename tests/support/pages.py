"""The pages of docs/, whose examples tests run."""

from __future__ import annotations

import re

from local.template import ROOT


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of a page in a language."""
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL)
