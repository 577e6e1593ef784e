"""A chat of LlamaIndex that goes on each time that the program is run, with a model that needs no network.

pip install 'annals-client[llama-index]'
ANNALS_URL=http://127.0.0.1:8000 ANNALS_KEY=local python examples/integrations/llama_index_chat.py "Which tea?"
"""

from __future__ import annotations

import sys

from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.llms import MockLLM
from llama_index.core.memory import ChatMemoryBuffer

from annals_client.integrations.llama_index import AnnalsChatStore


def main(prompt: str) -> None:
    memory = ChatMemoryBuffer.from_defaults(
        chat_store=AnnalsChatStore(user_id="ada", memory_space_id="demo"), chat_store_key="chat-7", token_limit=3000
    )
    engine = SimpleChatEngine.from_defaults(llm=MockLLM(), memory=memory)

    print(engine.chat(prompt))
    print(f"{len(engine.chat_history)} messages in this chat")


if __name__ == "__main__":
    main(" ".join(sys.argv[1:]) or "Which tea?")
