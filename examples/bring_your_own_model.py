"""Stream a reply from your own model, and store the turn in Annals.

Annals stores the question before the first word of the reply, and the reply when it is complete. If the reply breaks
off, Annals stores the part that arrived.

    pip install openai
    ANNALS_URL=http://127.0.0.1:8000 ANNALS_KEY=local \\
    OPENAI_BASE_URL=… OPENAI_API_KEY=… OPENAI_MODEL=… python examples/bring_your_own_model.py "Who was Ada?"
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import openai
from openai.types.chat import ChatCompletionChunk

from annals_client import Annals, StreamFailed


def reply_to(question: str) -> Iterator[ChatCompletionChunk]:
    """The model's reply. The model is called when the first chunk is requested."""
    with openai.OpenAI() as model:
        yield from model.chat.completions.create(
            model=os.environ["OPENAI_MODEL"], messages=[{"role": "user", "content": question}], stream=True
        )


def main(question: str) -> None:
    with Annals() as annals:
        relay = annals.memory.remember_stream(
            response_stream=reply_to(question), memory_space_id="demo", user_id="ada", user_message=question
        )
        try:
            for chunk in relay:
                if chunk.choices:
                    print(chunk.choices[0].delta.content or "", end="", flush=True)
        except StreamFailed as failure:
            sys.exit(f"\n{failure.detail}")
        conversation = relay.result().conversation
        print(f"\nkept as {conversation.message_ids[-1]} of {conversation.conversation_id}")


if __name__ == "__main__":
    main(sys.argv[1])
