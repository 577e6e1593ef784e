"""Streamed replies: what a provider sends piece by piece, read into text, parts, and the reason of the end.

``reply.ReplyReader`` is the one parser: of the server, for the models that it calls, and of the client, for those that
its caller runs. It takes a provider's chunks as dicts or as objects of its SDK, and text as str or bytes. There is a
module for each provider, whose class keeps what the chunks have said of the provider's own message:

| chunks of | are known by | module |
|---|---|---|
| OpenAI's chat completions, and who has their shape; legacy completions; Mistral | ``choices`` | ``openai_chat`` |
| OpenAI's responses, alone or within events of its Agents SDK | ``type``: ``response.…`` | ``openai_responses`` |
| Mistral's conversations | ``type``: ``message.output.delta`` … | ``mistral`` |
| Anthropic's messages | ``type``: ``content_block_delta`` … | ``anthropic`` |
| Amazon Bedrock's ConverseStream | a name: ``contentBlockDelta`` … | ``bedrock`` |
| Gemini | ``candidates`` | ``gemini`` |
| Cohere's chat, version 2 | ``type``: ``content-delta`` … | ``cohere`` |
| Ollama's chat and generate | ``message`` or ``response``, and ``done`` | ``ollama`` |
| LangChain | ``type``: ``AIMessageChunk`` | ``langchain`` |
| the AI SDK's full stream and UI message stream | ``type``: ``text-delta`` … | ``ai_sdk`` |
"""
