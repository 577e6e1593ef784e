"""What the tests of the framework have in common: events, and a model that is scripted."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from google.adk.events.event import Event
from google.adk.events.event_actions import EventActions
from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse
from google.adk.sessions.session import Session
from google.genai import types

from annals_client.integrations.google_adk import AnnalsSessionService

APP, USER = "tea_app", "ada"
OF: Any = {"app_name": APP, "user_id": USER}


def said(text: str, author: str = "user", **more: Any) -> Event:
    """An event that says something."""
    role = "user" if author == "user" else "model"
    content = types.Content(role=role, parts=[types.Part(text=text)])
    return Event(author=author, invocation_id=more.pop("invocation_id", "inv"), content=content, **more)


def changing(**delta: Any) -> Event:
    """An event that changes the state; ``app__x`` stands for ``app:x``."""
    named = {name.replace("__", ":"): value for name, value in delta.items()}
    return Event(author="agent", invocation_id="inv", actions=EventActions(state_delta=named))


async def again(service: AnnalsSessionService, session: Session) -> Session:
    """A session as it is stored."""
    found = await service.get_session(app_name=session.app_name, user_id=session.user_id, session_id=session.id)
    assert found is not None
    return found


def texts(session: Session) -> list[str]:
    """What was said in a session."""
    found = [event.content.parts[0].text for event in session.events if event.content and event.content.parts]
    return [text or "" for text in found]


class ScriptedModel(BaseLlm):
    """A model that answers from a script: texts, or parts such as calls of functions. ``asked`` is what it got."""

    model: str = "scripted"
    replies: list[Any]
    asked: list[list[types.Content]]

    async def generate_content_async(
        self, llm_request: LlmRequest, stream: bool = False
    ) -> AsyncGenerator[LlmResponse, None]:
        """The next reply."""
        self.asked.append(list(llm_request.contents))
        reply = self.replies.pop(0)
        part = types.Part(text=reply) if isinstance(reply, str) else reply
        yield LlmResponse(content=types.Content(role="model", parts=[part]))
