"""Remember-stream: a turn whose reply a model makes, passed on piece by piece and stored in the ledger at its end.

One streamed turn, in the order in which it happens:

1. ``functions/remember_stream`` reads a ``StreamRequest`` (``turns``) and calls ``StreamedTurns.begin``.
2. ``LedgerTurnStore.begin`` (``turn_store``) appends the user's message to the ledger: nothing is lost from here on.
3. ``DraftTable.claim`` (``draft_table``) makes this process the one owner of the stream's draft.
4. A ``LiveTurn`` (``live_turn``) recalls, builds the prompt (``prompt``) and listens to the model.
5. Each piece becomes a delta (``events``) for whoever follows; a ``DraftRecorder`` writes it into the draft, too.
6. At the end ``LedgerTurnStore.commit`` appends the reply, ``store_facts`` stores the turn's facts, and the draft ends.

Whoever follows a turn reads a ``ReplyStream`` (``events``). There are four: the ``LiveTurn`` itself, in the process
that listens to the model; a ``DraftStream``, which reads another process' draft and ends it where that process died; a
``StoredReplyStream``, where the draft is gone and the ledger has the reply; and an ``EndedStream``, of which only the
last event is left.
"""
