"""``AnnalsStore``: LangGraph's long-term memory in Annals."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from langgraph.store.base import BaseStore, IndexConfig, Op, PutOp, Result, SearchOp, TTLConfig

from annals_client.client import Annals, AsyncAnnals
from annals_client.integrations.langgraph.operations import Namespace, Operations
from annals_client.integrations.langgraph.threads import NAME
from annals_client.integrations.langgraph.vectors import VectorIndex, VectorsByText
from annals_client.integrations.support import Clients

STORE_COLLECTION = f"{NAME}.store"


class AnnalsStore(BaseStore):
    """Items by namespace and key. For threads, processes and event loops alike.

    Searches take prefixes of namespaces, and the filters ``$eq``, ``$ne``, ``$gt``, ``$gte``, ``$lt`` and ``$lte``, of
    numbers and of texts. What was written is found at once.

    Parameters
    ----------
    client : an Annals or an AsyncAnnals; either serves both the synchronous and the asynchronous methods
    url, key : as of Annals, where there is no client; else ``ANNALS_URL`` and ``ANNALS_KEY``
    memory_space_id : whose the items are
    user_id : the user of all items, or a function that gives the user of a namespace, or None: what is a user's is
        erased and exported with that user
    collection : which of several stores of the memory space
    index : ``{"dims": …, "embed": …, "fields": […]}``, for searches by meaning with your own embeddings; a search reads
        all items below its prefix
    ttl : ``{"default_ttl": minutes, "refresh_on_read": …}``; what has run out is not shown

    Raises
    ------
    AnnalsError : what is not stored, or cannot be read
    ValueError : embeddings are not what ``index`` says
    """

    supports_ttl = True

    def __init__(
        self,
        client: Annals | AsyncAnnals | None = None,
        *,
        url: str | None = None,
        key: str | None = None,
        memory_space_id: str = NAME,
        user_id: str | Callable[[Namespace], str | None] | None = None,
        collection: str = STORE_COLLECTION,
        index: IndexConfig | None = None,
        ttl: TTLConfig | None = None,
    ) -> None:
        super().__init__()
        self.clients = Clients(client, url=url, key=key)
        self.ttl_config = ttl
        self.index_config = index
        self._index = VectorIndex(index) if index else None
        self._owner = memory_space_id, collection
        self._user_of: Callable[[Namespace], str | None] = user_id if callable(user_id) else lambda _: user_id

    def close(self) -> None:
        """Close the connections that were made here, but for those of event loops; see ``aclose``."""
        self.clients.close()

    async def aclose(self) -> None:
        """Close the connections that were made here, but for those of other event loops."""
        await self.clients.aclose()

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """What comes of some operations: all that read, then all that store, of which the last one of a key counts."""
        given = [*ops]
        vectors: VectorsByText = {}
        if self._index:
            texts, queries = self._texts(given), _queries(given)
            embeddings = self._index.embeddings
            vectors = self._index.by_text(texts, embeddings.embed_documents(texts) if texts else [])
            queried = self._index.by_text(queries, [embeddings.embed_query(query) for query in queries])
        else:
            queried = {}
        return self.clients.sync.sender.run(self._operations(vectors, queried).run(given))

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """``batch`` for asyncio."""
        given = [*ops]
        vectors: VectorsByText = {}
        if self._index:
            texts, queries = self._texts(given), _queries(given)
            embeddings = self._index.embeddings
            vectors = self._index.by_text(texts, await embeddings.aembed_documents(texts) if texts else [])
            queried = self._index.by_text(queries, [await embeddings.aembed_query(query) for query in queries])
        else:
            queried = {}
        return await self.clients.asynchronous.sender.run(self._operations(vectors, queried).run(given))

    def _operations(self, vectors: VectorsByText, queried: VectorsByText) -> Operations:
        return Operations(*self._owner, self._user_of, self._index, vectors, queried)

    def _texts(self, ops: Sequence[Op]) -> list[str]:
        puts = [op for op in ops if isinstance(op, PutOp)]
        return [*dict.fromkeys(text for put in puts for text in (self._index.texts_of(put) if self._index else []))]


def _queries(ops: Sequence[Any]) -> list[str]:
    return [*dict.fromkeys(op.query for op in ops if isinstance(op, SearchOp) and op.query)]
