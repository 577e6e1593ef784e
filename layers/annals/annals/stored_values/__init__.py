"""JSON values as items of the state table hold them: as text, deflated, or beside the table in the place for blobs."""
