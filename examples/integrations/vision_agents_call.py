"""A voice agent of Vision Agents that remembers its calls, without a microphone, a speaker or a model.

pip install 'annals-client[vision-agents]' vision-agents-plugins-local
export ANNALS_URL=http://127.0.0.1:8000 ANNALS_KEY=local
python examples/integrations/vision_agents_call.py "I like tea." "Which drink?"

Each sentence is said in a call that the agent joins anew.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import numpy as np
from getstream.video.rtc import PcmData
from vision_agents.core import Agent, User
from vision_agents.core.edge.types import Participant
from vision_agents.core.llm.llm import LLM, LLMResponseDelta, LLMResponseFinal
from vision_agents.core.stt import STT
from vision_agents.core.stt.stt import TranscriptResponse
from vision_agents.plugins.local.devices import AudioInputDevice, AudioOutputDevice
from vision_agents.plugins.local.edge import LocalEdge

from annals_client.integrations.vision_agents import with_annals


class Microphone(AudioInputDevice):
    """Hears nothing, twenty times a second."""

    def start(self) -> None: ...

    def read(self) -> np.ndarray[Any, Any]:
        time.sleep(0.05)
        return np.zeros(960, dtype=np.int16)

    def stop(self) -> None: ...


class Speaker(AudioOutputDevice):
    """Plays nothing."""

    def start(self) -> None: ...

    def write(self, samples: np.ndarray[Any, Any]) -> None: ...

    def flush(self) -> None: ...

    def stop(self) -> None: ...


class Transcriber(STT):
    """Hears a sentence in the first sound there is."""

    turn_detection = True

    def __init__(self, sentence: str) -> None:
        super().__init__()
        self.sentences = [sentence]

    async def process_audio(self, pcm_data: PcmData, participant: Participant) -> None:
        if self.sentences:
            self._emit_turn_started_event(participant)
            self._emit_transcript_event(self.sentences.pop(), participant, TranscriptResponse())
            self._emit_turn_ended_event(participant)


class Model(LLM):
    """Says what it heard in earlier calls, word by word."""

    def __init__(self) -> None:
        super().__init__()
        self.done = asyncio.Event()

    async def simple_response(
        self, text: str, participant: Participant | None = None
    ) -> AsyncIterator[LLMResponseDelta | LLMResponseFinal]:
        assert self._conversation is not None
        heard = [message.content for message in self._conversation.messages if message.role == "user"]
        reply, item = f"So far I heard: {' '.join(heard)}", str(uuid4())
        for index, word in enumerate(reply.split()):
            yield LLMResponseDelta(delta=f"{word} ", content_index=index, item_id=item)
        yield LLMResponseFinal(text=reply, item_id=item)
        self.done.set()


async def call(sentence: str) -> None:
    """An agent joins the call, hears a sentence, answers, and leaves."""
    model = Model()
    agent = Agent(
        edge=with_annals(
            LocalEdge(audio_input=Microphone(0, "silence"), audio_output=Speaker(0, "silence")),
            user_id="ada",
            memory_space_id="demo",
        ),
        llm=model,
        stt=Transcriber(sentence),
        agent_user=User(id="assistant", name="Assistant"),
    )
    async with agent.join(await agent.edge.create_call("call-7")):
        await asyncio.wait_for(model.done.wait(), 30)
        await asyncio.sleep(0.2)  # until the reply is spoken
    assert agent.conversation is not None
    for message in agent.conversation.messages:
        print(f"{message.role}: {message.content}")


async def main(sentences: list[str]) -> None:
    for sentence in sentences:
        await call(sentence)
        print("-- the call ends")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:] or ["I like tea.", "Which drink?"]))
